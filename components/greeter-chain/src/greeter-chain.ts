import { greet } from 'trellis-samples:hello/greeting@0.1.0';

export const greeter = {
  // A function that returns a WIT result returns the value, or throws the error.
  greetAll(names: string[]): string[] {
    if (names.length === 0) throw 'nobody to greet';
    return names.map((name) => greet(name));
  },
};

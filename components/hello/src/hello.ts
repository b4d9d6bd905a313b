// An interface the world exports is an export of this module: its name in camel case, its functions as members.
export const greeting = {
  greet(name: string): string {
    return `Hello, ${name === '' ? 'stranger' : name}!`;
  },
};

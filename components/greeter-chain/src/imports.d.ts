// What `wit/deps` says, for the compiler.
declare module 'trellis-samples:hello/greeting@0.1.0' {
  export function greet(name: string): string;
}

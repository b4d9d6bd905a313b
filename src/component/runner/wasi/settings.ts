import { MAX_LINE_BYTES } from './stdio.ts';

/** `wasi:config` and `wasi:logging`: the settings an operator gave a component, and its own log lines. */

/** Levels of `wasi:logging`. */
export type GuestLogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'critical';

/** Takes one log line of a guest; `context` and `message` are cut at {@link MAX_LINE_BYTES} characters. */
export type GuestLog = (level: GuestLogLevel, context: string, message: string) => void;

/** Returns the interfaces `wasi:config/{runtime,store}` and `wasi:logging/logging`. `config` gives the values that count now. */
export function createSettings(config: () => Readonly<Record<string, string>>, log: GuestLog): Record<string, object> {
  const read = {
    get: (key: string) => {
      const values = config();
      return Object.hasOwn(values, key) ? values[key] : undefined;
    },
    getAll: () => Object.entries(config()),
  };
  return {
    'wasi:config/runtime': read,
    'wasi:config/store': read,
    'wasi:logging/logging': {
      log: (level: GuestLogLevel, context: string, message: string) =>
        log(level, context.slice(0, MAX_LINE_BYTES), message.slice(0, MAX_LINE_BYTES)),
    },
  };
}

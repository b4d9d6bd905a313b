// One line per step, on standard error: standard output belongs to the command that follows.
const NAME_WIDTH = 14;

/**
 * Steps with their time. In the quiet form a step that finds everything in place prints nothing.
 * @param {{ quiet: boolean, out?: NodeJS.WriteStream }} options
 */
export function createProgress({ quiet, out = process.stderr }) {
  const line = (name, text, seconds) =>
    `  ${name.padEnd(NAME_WIDTH)} ${text}${seconds === undefined ? '' : `, ${seconds.toFixed(1)} s`}`;
  return {
    /** Runs one step. `work(working)` calls `working(text)` before it does anything slow, and returns what to say at the end. */
    async step(name, work) {
      const startMs = performance.now();
      let busy = false;
      const working = (text) => {
        if (out.isTTY && busy) out.write('\r\u001b[K');
        out.write(line(name, `${text} …`) + (out.isTTY ? '' : '\n'));
        busy = true;
      };
      try {
        const { text, value } = await work(working);
        if (out.isTTY && busy) out.write('\r\u001b[K');
        if (busy || !quiet) out.write(`${line(name, text, (performance.now() - startMs) / 1000)}\n`);
        return value;
      } catch (error) {
        if (out.isTTY && busy) out.write('\r\u001b[K');
        out.write(`${line(name, 'failed', (performance.now() - startMs) / 1000)}\n`);
        throw error;
      }
    },
    say(text) {
      if (!quiet) out.write(`${text}\n`);
    },
  };
}

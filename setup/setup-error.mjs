/** A failure of set-up that a person can act on: what happened, what was tried, what to do. */
export class SetupError extends Error {
  /** @param {string} message @param {{ tried?: string[], remedy?: string, output?: string }} [more] */
  constructor(message, more = {}) {
    super(message);
    this.name = 'SetupError';
    this.tried = more.tried ?? [];
    this.remedy = more.remedy;
    this.output = more.output;
  }
}

/** The lines that tell a person about an error; an unexpected one comes with its stack. */
export function describe(error) {
  if (!(error instanceof SetupError)) return `${error?.stack ?? error}`;
  const lines = [error.message];
  for (const attempt of error.tried) lines.push(`  - ${attempt}`);
  if (error.output)
    lines.push(
      ...error.output
        .trimEnd()
        .split('\n')
        .map((line) => `  | ${line}`),
    );
  if (error.remedy) lines.push(`What to do: ${error.remedy}`);
  return lines.join('\n');
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EnvironmentValue, line, note, ServerBlock, writeServerConfig } from '../../../src/leaf/server-language.ts';

/** What nats-server's lexer makes of a text in double quotes, and what stands behind it on the line. */
function readQuoted(text: string): { readonly value: string; readonly rest: string } {
  let value = '';
  for (let i = 1; i < text.length; i++) {
    if (text[i] === '"') return { value, rest: text.slice(i + 1) };
    if (text[i] === '\\') i++;
    value += text[i] ?? '';
  }
  throw new Error('the quotes do not end');
}

const config = (value: string): string => writeServerConfig(new ServerBlock(line('credentials', value)));

describe('nats-server configuration', () => {
  it('writes blocks, lists and comments', () => {
    const text = writeServerConfig(
      new ServerBlock(
        note('One.\nTwo.'),
        line('port', 4222, 'where'),
        undefined,
        line('list', ['a', new ServerBlock(line('$x.>', 'y'))]),
      ),
    );
    expect(text).toBe(
      ['# One.', '# Two.', '# where', 'port: 4222', 'list: [', '  "a"', '  {', '    "$x.>": "y"', '  }', ']', ''].join('\n'),
    );
  });

  it('INJ-LEAF-01 keeps every text on its line and within its quotes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        let text: string;
        try {
          text = config(value);
        } catch (error) {
          expect(error).toMatchObject({ code: 'TRELLIS_LEAF_INPUT' });
          // oxlint-disable-next-line no-control-regex -- these are the characters meant
          expect(value).toMatch(/[\u0000-\u001f\u007f\u0085\u2028\u2029]/);
          return;
        }
        expect(text.split('\n')).toHaveLength(2);
        const { value: read, rest } = readQuoted(text.slice('credentials: '.length));
        expect(read).toBe(value);
        expect(rest).toBe('\n');
      }),
    );
  });

  it.each(['a"\nport: 1', 'a\rb', '\u0000', 'x\u2028y', '\ud800'])('INJ-LEAF-02 refuses %j', (value) => {
    expect(() => config(value)).toThrow(expect.objectContaining({ code: 'TRELLIS_LEAF_INPUT' }));
  });

  it('INJ-LEAF-06 takes a value from the environment by a plain name only', () => {
    expect(writeServerConfig(new ServerBlock(line('server_name', new EnvironmentValue('POD_NAME'))))).toBe(
      'server_name: $POD_NAME\n',
    );
    for (const name of ['', 'pod', 'A-B', 'A\nport: 1', '1A', 'A'.repeat(65)]) {
      expect(() => new EnvironmentValue(name)).toThrow(expect.objectContaining({ code: 'TRELLIS_LEAF_INPUT' }));
    }
  });
});

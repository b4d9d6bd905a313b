import type { Command } from 'commander';
import { EXIT, TrellisError } from '../../errors.ts';
import { compileFunction } from '../../wit/codec.ts';
import type { FunctionCodec } from '../../wit/codec.ts';
import { fromJson, toJson } from '../../wit/json.ts';
import { parseWitType, printWitType } from '../../wit/type-text.ts';
import type { WitType } from '../../wit/types.ts';
import { checkVectors } from '../../wit/wire-check.ts';
import { examples, outputOf } from '../program.ts';
import { readTextFile } from '../text-file.ts';

const JSON_FORMS = `
Values in JSON:
  u64, s64           decimal text: "18446744073709551615"
  f32, f64           number, or "NaN", "Infinity", "-Infinity", "-0"
  list<u8>, handles  {"hex": "00ff"}
  option             null, or {"some": value}
  result             {"ok": value} or {"err": value}
  variant            {"case": "name", "payload": value}
  flags              list of the names that are set
  stream, future     "pending", or {"ready": value}
  everything else    as JSON has it; records by their WIT names
`;

/** `trellis wire`: values as wRPC writes them, for people who debug a lattice. */
export function register(program: Command): void {
  const wire = program
    .command('wire')
    .description('Encode, decode and check values as wRPC writes them.')
    .addHelpText('after', JSON_FORMS);
  wire
    .command('encode')
    .description('Print the bytes (hex) of a value of a WIT type.')
    .argument('<type>', 'WIT type, e.g. result<list<u8>, string>')
    .argument('<json>', 'the value; 64-bit integers as strings, byte lists as {"hex": "…"}, options as null or {"some": …}')
    .addHelpText('after', examples('trellis wire encode u16 300', `trellis wire encode 'result<string, u8>' '{"ok": "hello"}'`))
    .action((typeText: string, json: string, _options: unknown, command: Command) => {
      const type = parseWitType(typeText);
      const encoded = codecOf(type).encodeParams([fromJson(type, parseJson(json))]);
      if (!encoded.ok) throw new TrellisError('TRELLIS_WIT_VALUE', { message: encoded.reason });
      const hex = Buffer.from(encoded.bytes).toString('hex');
      const pending = encoded.pending.map(({ path, kind }) => ({ path: path.join('.'), kind }));
      const output = outputOf(command);
      for (const { path, kind } of pending) output.progress(`the ${kind} at ${path} follows on its own subject`);
      output.result({ type: printWitType(type), hex, bytes: encoded.bytes.length, pending }, (print) => print(hex));
    });
  wire
    .command('decode')
    .description('Print the value (JSON) that bytes of a WIT type stand for.')
    .argument('<type>', 'WIT type')
    .argument('<hex>', 'the bytes; white space between them is allowed')
    .addHelpText('after', examples('trellis wire decode string 0568656c6c6f', `trellis wire decode 'option<u32>' '01 ac 02'`))
    .action((typeText: string, hex: string, _options: unknown, command: Command) => {
      const type = parseWitType(typeText);
      const bytes = parseHex(hex);
      const decoded = codecOf(type).decodeParams(bytes);
      if (!decoded.ok) {
        throw new TrellisError('TRELLIS_WIT_BYTES', {
          message: decoded.incomplete
            ? `The bytes end too early: ${decoded.reason}`
            : `These are not bytes of ${printWitType(type)}: ${decoded.reason}`,
          remedy: decoded.incomplete
            ? 'Give the rest of the bytes; large values come in several messages.'
            : 'Check the type against the WIT of the interface.',
        });
      }
      const value = toJson(type, decoded.values[0]);
      const extra = bytes.length - decoded.consumed;
      const output = outputOf(command);
      if (extra > 0) output.progress(`${extra} more byte${extra === 1 ? '' : 's'} follow the value (a receiver ignores them)`);
      output.result({ type: printWitType(type), value, consumed: decoded.consumed, extra }, (print) =>
        print(JSON.stringify(value)),
      );
    });
  wire
    .command('check')
    .description('Check this codec against a file of vectors; print each miss and the count. Exit code 1 if any failed.')
    .argument('<file>', 'JSON file with {"vectors": [{"id", "type", "value", "hex"}, …]}')
    .addHelpText('after', examples('trellis wire check vectors.json'))
    .action((file: string, _options: unknown, command: Command) => {
      const { rows, passed, failed } = checkVectors(parseJson(readTextFile(file)));
      const misses = rows.filter((row) => !row.ok);
      if (failed > 0) process.exitCode = EXIT.unexpected;
      outputOf(command).result({ passed, failed, misses }, (print) => {
        for (const { id, message } of misses) print(`${id}: ${message}`);
        print(`${passed} passed, ${failed} failed`);
      });
    });
}

const codecOf = (type: WitType): FunctionCodec =>
  compileFunction({ name: 'value', wireName: 'value', params: [{ name: 'value', type }], result: null, async: false });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new TrellisError('TRELLIS_USAGE', {
      message: `This is not JSON: ${error instanceof Error ? error.message : 'unreadable'}`,
      remedy: `Quote texts inside the shell's quotes: '"hello"'.`,
    });
  }
}

function parseHex(text: string): Buffer {
  const digits = text.replace(/\s+|^0x/g, '');
  if (/^(?:[0-9a-fA-F]{2})*$/.test(digits)) return Buffer.from(digits, 'hex');
  throw new TrellisError('TRELLIS_USAGE', {
    message: 'The bytes must be pairs of hex digits',
    remedy: `Write them as '0568656c6c6f'.`,
  });
}

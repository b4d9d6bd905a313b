import { AsyncValues } from '../../src/wit/async-values.ts';
import { compileFunction } from '../../src/wit/codec.ts';
import { pump } from '../../src/wit/pump.ts';
import type { WitInterface } from '../../src/wit/types.ts';
import type { RawPeer, RawService } from './raw-peer.ts';

/** Values in, values out; a thrown string is the error of the result. */
export type WireFunctions = Readonly<Record<string, (...values: never[]) => unknown>>;

const EMPTY = new Uint8Array(0);

/**
 * Serves an interface as a provider of 1.x does: without signatures, with streams on paths of their own. Parameters fit one message, but
 * for their streams. Ends with the peer.
 */
export async function serveWire(peer: RawPeer, target: string, wit: WitInterface, functions: WireFunctions): Promise<void> {
  for (const fn of wit.functions) {
    const codec = compileFunction(fn);
    const answer = async (service: RawService): Promise<void> => {
      const later = new AsyncValues();
      const params = codec.decodeParams(service.payload, later);
      if (!params.ok) throw new Error(params.reason);
      service.onFrame = ({ tail, data }) => {
        if (tail.startsWith('.params.')) later.push(tail.slice('.params.'.length), data, data.length === 0);
      };
      service.acknowledge();
      let result: unknown;
      try {
        result = { tag: 'ok', val: await functions[fn.name]!(...(params.values as never[])) };
      } catch (error) {
        result = { tag: 'err', val: error };
      }
      const encoded = codec.encodeResult(result);
      if (!encoded.ok) throw new Error(encoded.reason);
      service.results([encoded.bytes, EMPTY]);
      await pump(encoded.pending, (path, bytes, end) => {
        service.results(end ? [bytes, EMPTY] : [bytes], `.${path.join('.')}`);
      });
    };
    await peer.serve(`default.${target}.wrpc.0.0.1.${wit.name}.${fn.name}`, (service) => {
      answer(service).catch((error: unknown) => peer.faults.push(`${fn.name}: ${String(error)}`));
    });
  }
}

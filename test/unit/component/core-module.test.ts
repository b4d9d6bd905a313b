import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capCoreModule, MAX_TABLE_ELEMENTS, PAGE_BYTES } from '../../../src/component/core-module.ts';
import { coreModule } from '../../support/component-binary.ts';
import { webAssembly } from '../../support/transpiled.ts';

const MIB = 1_048_576;
const bytes = (shape: Parameters<typeof coreModule>[0]): Uint8Array<ArrayBuffer> => Uint8Array.from(coreModule(shape));

/** How far a module's exported memory grows, in pages. */
async function growable(module: Uint8Array): Promise<number> {
  const { instance } = await webAssembly.instantiate(module);
  const memory = instance.exports.memory as { readonly buffer: ArrayBuffer; grow(pages: number): void };
  let pages = memory.buffer.byteLength / PAGE_BYTES;
  try {
    for (; pages < 10_000; pages += 1) memory.grow(1);
  } catch {
    // Refused: that is the maximum.
  }
  return pages;
}

describe('capCoreModule', () => {
  it('gives every memory a maximum, and never raises one', async () => {
    const grown = async (max?: number): Promise<number> => {
      const shape = { exports: [], memories: [max === undefined ? { min: 1 } : { min: 1, max }] };
      const raw = bytes(shape);
      // Put an export of the memory behind the (empty) export section.
      const at = raw.findIndex((byte, i) => byte === 7 && raw[i + 1] === 1 && raw[i + 2] === 0 && i > 20);
      const name = [...new TextEncoder().encode('memory')];
      const exported = [7, 2 + name.length + 2, 1, name.length, ...name, 2, 0];
      const module = Uint8Array.from([...raw.subarray(0, at), ...exported, ...raw.subarray(at + 3)]);
      return growable(capCoreModule(module, MIB).bytes);
    };
    expect(await grown()).toBe(16);
    expect(await grown(1_000)).toBe(16);
    expect(await grown(3)).toBe(3);
  });

  it('counts what it found', () => {
    const capped = capCoreModule(bytes({ memories: [{ min: 2 }, { min: 3, max: 9 }] }), MIB);
    expect(capped).toMatchObject({ memories: 2, initialMemoryBytes: 5 * PAGE_BYTES });
  });

  it('limits tables', () => {
    const capped = capCoreModule(bytes({ tables: [{ min: 3 }, { min: 1, max: 0xffff_ffff }] }), MIB);
    expect(webAssembly.validate(capped.bytes)).toBe(true);
    // 0x70, with maximum, minimum 3, maximum one million
    expect(Buffer.from(capped.bytes).includes(Buffer.from([0x70, 1, 3, 0xc0, 0x84, 0x3d]))).toBe(true);
    expect(MAX_TABLE_ELEMENTS).toBe(1_000_000);
  });

  it('leaves a module without memory or table as it is', () => {
    const module = bytes({ exports: ['run'] });
    expect(capCoreModule(module, MIB).bytes).toEqual(module);
  });

  const refused: [string, Parameters<typeof coreModule>[0], string][] = [
    ['a memory that starts above its limit', { memories: [{ min: 17 }] }, 'TRELLIS_COMPONENT_LIMIT'],
    ['a table that starts above its limit', { tables: [{ min: 1_000_001 }] }, 'TRELLIS_COMPONENT_LIMIT'],
    ['GST-22 a shared memory', { memories: [{ min: 1, max: 2, flags: 2 }] }, 'TRELLIS_COMPONENT_UNSUPPORTED'],
    ['a 64-bit memory', { memories: [{ min: 1, flags: 4 }] }, 'TRELLIS_COMPONENT_UNSUPPORTED'],
  ];
  it.each(refused)('refuses %s', (_what, shape, code) => {
    expect(() => capCoreModule(bytes(shape), MIB)).toThrow(expect.objectContaining({ code }));
  });

  it('throws nothing but TrellisError for broken bytes', () => {
    const good = bytes({ memories: [{ min: 1 }], tables: [{ min: 1 }], exports: ['run'] });
    const broken = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, value]) => good.with(at, value)),
      fc.nat(good.length).map((length) => good.subarray(0, length)),
    );
    fc.assert(
      fc.property(broken, (input) => {
        try {
          expect(capCoreModule(input, MIB).bytes.length).toBeLessThan(2 * input.length + 64);
        } catch (error) {
          expect(String((error as { code?: string }).code)).toMatch(/^TRELLIS_COMPONENT_/);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

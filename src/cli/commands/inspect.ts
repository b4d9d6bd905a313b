import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { digestOf, loadArtifact } from '../../component/artifact.ts';
import { readClaims, type ClaimsReading } from '../../component/claims.ts';
import { pullComponent } from '../../component/oci/pull.ts';
import { Registries } from '../../component/oci/registries.ts';
import { preflight } from '../../component/preflight.ts';
import { imageText, parseReference, readReference } from '../../component/reference.ts';
import { asComponent } from '../../component/wrapped-module.ts';
import { printWorld } from '../../wit/type-text.ts';
import { callerConfig } from '../caller-config.ts';
import { fieldLines, paint, type Output } from '../output.ts';
import { examples, outputOf } from '../program.ts';

// What a host accepts by default; an inspection may look at more than a host would run.
const MAX_BYTES = 1024 * 1024 * 1024;
// As long as a host gives a component.
const TIMEOUT_MS = 60_000;

/** A component, and where it was found. */
interface Found {
  readonly bytes: Uint8Array;
  /** Path of a file. */
  readonly file?: string;
  /** The reference that means just this image. */
  readonly image?: string;
}

const FORM: [string, string] = ['form', 'a core module; the rest is about the component that a host makes of it'];

/** `trellis inspect`: what a component is and what it would need, without running any of it. */
export function register(program: Command): void {
  program
    .command('inspect')
    .description('Print world, types, digest, size, imports, claims and what would have to be granted. Runs nothing.')
    .argument('<component>', 'component file, a file:// URL, or the reference of an image in a registry')
    .option('--config <file>', 'configuration of a host, whose settings for registries count (artifacts)')
    .addHelpText(
      'after',
      examples(
        'trellis inspect components/hello/build/hello.wasm',
        'trellis inspect hello.wasm --output json',
        'trellis inspect ghcr.io/wasmcloud/components/http-hello-world-rust:0.1.0',
      ),
    )
    .action(async (ref: string, options: { readonly config?: string }, command: Command) => {
      const output = outputOf(command);
      const { bytes: content, ...place } = isFile(ref)
        ? fileOf(await loadArtifact(ref, { maxBytes: MAX_BYTES }))
        : await pull(ref, options.config, output);
      const component = await asComponent(content, { maxBytes: MAX_BYTES, timeoutMs: TIMEOUT_MS });
      const isCoreModule = component !== content;
      const found = preflight(component, { maxBytes: MAX_BYTES });
      const reading = readClaims(content, Date.now());
      const { types, coreModules, functions, builtins, links, grantsNeeded } = found;
      // Of what came, which is what a configuration can name and claims speak of.
      const [digest, bytes] = [digestOf(content), content.length];
      const claims =
        reading.kind === 'good' ? { claims: reading.claims } : reading.kind === 'bad' ? { claimsFault: reading.reason } : {};
      const data = {
        ...place,
        digest,
        bytes,
        isCoreModule,
        ...claims,
        coreModules,
        functions,
        builtins,
        links,
        grantsNeeded,
        types,
      };
      output.result(data, (print) => {
        const lines = (values: readonly string[]): string => (values.length === 0 ? 'nothing' : values.join('\n'));
        const fields: [string, string][] = [
          place.image === undefined ? ['file', place.file ?? ref] : ['image', place.image],
          ['digest', digest],
          [
            'size',
            `${bytes.toLocaleString('en-US')} bytes, ${coreModules} core modules, ${functions.toLocaleString('en-US')} functions`,
          ],
          ...(isCoreModule ? [FORM] : []),
          ['claims', claimsText(reading)],
          [
            'exports',
            lines(
              types.exports.map(({ name, functions: all }) => `${name === '' ? '(the world)' : name}  ${countOf(all.length)}`),
            ),
          ],
          ['from the runner', lines(builtins)],
          ['needs links', lines(links.map((name) => (name === '' ? '(functions of the world)' : name)))],
          ['needs grants', lines(grantsNeeded)],
        ];
        for (const line of fieldLines(fields)) print(line);
        print('');
        print(paint('gray', '// the world, as the binary says it'));
        print(printWorld(types).trimEnd());
      });
    });
}

/** What is there as a file is one; so is what only a file can be. */
function isFile(text: string): boolean {
  if (text.startsWith('file:')) return true;
  if (/^[a-z]+:\/\//i.test(text)) return false;
  return existsSync(text) || text.endsWith('.wasm') || !text.includes('/') || readReference(text).kind !== 'image';
}

const fileOf = ({ bytes, path }: { readonly bytes: Uint8Array; readonly path: string }): Found => ({ bytes, file: path });

async function pull(text: string, config: string | undefined, output: Output): Promise<Found> {
  const reference = parseReference(text);
  if (reference.kind !== 'image') return fileOf(await loadArtifact(text, { maxBytes: MAX_BYTES }));
  const { artifacts, cacheDir } = callerConfig({ file: config });
  // The rules of a host are about what it runs; this runs nothing, and is to say what is there now.
  const looser = { ...artifacts, allowLatest: true, requireDigest: false, allowedRegistries: [], staleTags: false };
  const registries = Registries.of({ artifacts: looser, cacheDir }, (warning) => output.progress(`  ${warning}`));
  output.progress(`  pulling ${imageText(reference.image)}`);
  const { bytes, manifestDigest } = await pullComponent(reference.image, registries, MAX_BYTES);
  return { bytes, image: imageText({ ...reference.image, digest: manifestDigest }) };
}

function claimsText(reading: ClaimsReading): string {
  if (reading.kind === 'none') return 'none: not signed';
  if (reading.kind === 'bad') return `do not hold: ${reading.reason}`;
  const { name, version, revision, issuer, subject, tags, callAlias, expiresMs } = reading.claims;
  const facts = [
    `${name ?? '(no name)'} ${version ?? ''}${revision === undefined ? '' : ` (${revision})`}`.trim(),
    `component ${subject}`,
    `signed by ${issuer}`,
    ...(callAlias === undefined ? [] : [`call alias ${callAlias}`]),
    ...(tags === undefined || tags.length === 0 ? [] : [`tags ${tags.join(', ')}`]),
    ...(expiresMs === undefined ? [] : [`expires ${new Date(expiresMs).toISOString()}`]),
  ];
  return facts.map(printable).join('\n');
}

/** What somebody signed may hold anything; a terminal obeys some of it. */
const printable = (text: string): string =>
  text.replace(/\p{C}/gu, (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`);

const countOf = (n: number): string => `${n} function${n === 1 ? '' : 's'}`;

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectCaller } from '../../src/caller.ts';
import { START_CODES } from '../../src/config/problems.ts';
import { parseConfig } from '../../src/config/schema.ts';
import { CATALOGUE } from '../../src/errors.ts';
import { startHost } from '../../src/host.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { echoComponent } from '../support/components.ts';
import { blocksIn, DocumentRun, type Server, textOf } from '../support/document.ts';
import { startServer } from '../support/nats-server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const documents = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...markdownIn('docs')];

/** The generated ones are checked by `npm run check`. */
function markdownIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md') && name !== 'errors.md' && name !== 'config.md')
    .map((name) => join(folder, name));
}

const SERVERS: readonly Server[] = [
  // The port that the document shows may be taken.
  { starts: 'npm start', as: 'npm start -- --port 0', ready: /Ctrl-C drains/, stop: 'SIGINT' },
  { starts: 'node host.js --config', as: '', ready: /"msg":"ready"/, stop: 'SIGTERM' },
];

describe('README.md', () => {
  let tour: DocumentRun;
  beforeAll(() => {
    tour = new DocumentRun();
  });
  afterAll(() => tour.close());

  const blocks = blocksIn(textOf('README.md'));
  for (const block of blocks) {
    it(block.commands.trim().split('\n').join('; ').slice(0, 120), async () => {
      const text = await tour.play(block, SERVERS);
      // What follows goes to the server that `npm start` began.
      const url = /nats:\/\/127\.0\.0\.1:\d+/.exec(block.commands.startsWith('npm start') ? text : '')?.[0];
      if (url !== undefined) tour.setEnv({ TRELLIS_CTL_SERVERS: url, TRELLIS_RPC_SERVERS: url });
    });
  }

  for (const name of ['hello', 'greeter-chain', 'echo']) {
    it.each(blocksIn(textOf(`components/${name}/README.md`)))(`components/${name}/README.md`, async (block) => {
      await tour.play(block);
    });
  }

  it('Ctrl-C and SIGTERM stop what was started', async () => {
    expect(tour.running).toHaveLength(SERVERS.length);
    for (const { child, stop, text, ended } of tour.running.toReversed()) {
      process.kill(-child.pid!, stop);
      await ended;
      expect(text()).toMatch(stop === 'SIGINT' ? /^Stopped\.$/m : /"exitCode":0,"msg":"stopped"/);
    }
  });
});

describe('config/nats-server.conf', () => {
  it.each([
    ['without JetStream', false],
    ['with JetStream, where the trust bucket is required', true],
  ] as const)('lets a host serve and a caller call, each user within its least subjects: %s', async (_which, jetstream) => {
    const [ctl, rpc, cluster] = [SigningKey.generate('user'), SigningKey.generate('user'), SigningKey.generate('cluster')];
    const configText = textOf('config/nats-server.conf')
      .replaceAll('<ctl>', ctl.publicKey)
      .replaceAll('<rpc>', rpc.publicKey)
      .replace(/^listen: .*$/m, '');
    await using server = await startServer({ configText, jetstream });
    const seedFile = (name: string, key: SigningKey): string => {
      const file = join(server.dir, `${name}.seed`);
      writeFileSync(file, key.exportSeed().reveal(), { mode: 0o600 });
      return file;
    };
    const config = parseConfig({
      lattice: 'lab',
      ctl: { servers: [server.url], seedFile: seedFile('ctl', ctl) },
      rpc: { servers: [server.url], seedFile: seedFile('rpc', rpc) },
      trust: {
        clusterSeedFile: seedFile('cluster', cluster),
        unlinkedOrigins: ['trellis-cli'],
        store: jetstream ? 'required' : 'auto',
      },
      components: [{ id: 'echo', file: echoComponent().file }],
      cacheDir: join(server.dir, 'cache'),
      stateDir: server.dir,
    });
    const log = createLogger({ level: 'error' });
    const metrics = createMetrics({ eventLoop: false });
    await using host = await startHost({ config, log, metrics });
    expect(host.status().ready).toBe(true);
    await using caller = await connectCaller({ config, log, metrics, origin: 'trellis-cli' });
    const { types } = await caller.describe('echo', 5_000);
    const instance = types.exports.find(({ name }) => name.includes('/values@'))!.name;
    const result = await caller.call({ target: 'echo', instance, func: 'answer', params: new Uint8Array(0), timeoutMs: 5_000 });
    expect(result.length).toBeGreaterThan(0);
    // The host tries at its start what must be refused; these refusals are the proof that it is.
    const probed = /probe[0-9a-f]{24}|\$JS\.API\.STREAM\.INFO\.KV_(?:LATTICETRUST|LATTICEDATA|CONFIGDATA)_lab/;
    const refused = server
      .log()
      .split('\n')
      .filter((line) => /violation/i.test(line) && !probed.test(line));
    expect(refused).toEqual([]);
  });
});

describe('documents', () => {
  it.each(documents)('%s links to what exists', (path) => {
    const text = textOf(path).replace(/^```[\s\S]*?^```$/gm, '');
    const missing = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)]
      .filter(([, file, anchor]) => {
        const target = file === '' ? path : join(dirname(path), file!);
        if (!existsSync(join(ROOT, target))) return true;
        return anchor !== undefined && !anchorsOf(textOf(target)).has(anchor);
      })
      .map(([link]) => link);
    expect(missing).toEqual([]);
  });

  it.each(documents)('%s names files, codes and scripts that exist', (path) => {
    const text = textOf(path);
    const files = [...text.matchAll(/`((?:src|test|setup|components|config|docs|bin)\/[\w./-]*[\w/])`/g)].map(
      ([, file]) => file!,
    );
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
    const codes = [...text.matchAll(/\bTRELLIS_(?:VERIFY|PATH|INVOKE|NATS|COMPONENT|TRUST|LINK|CALL)_[A-Z_]*[A-Z]\b/g)].map(
      ([code]) => code,
    );
    expect(codes.filter((code) => !(code in CATALOGUE))).toEqual([]);
    const starts = [...text.matchAll(/\bSTART-\d\d\b/g)].map(([code]) => code);
    expect(starts.filter((code) => !(code in START_CODES))).toEqual([]);
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const used = [...text.matchAll(/\bnpm run (?:-s )?([a-z]+)/g)].map(([, script]) => script!);
    expect(used.filter((script) => !(script in scripts))).toEqual([]);
  });

  it('docs/architecture.md names every part of src', () => {
    const floors = /^## Floors$([\s\S]*?)^## /m.exec(textOf('docs/architecture.md'))![1]!;
    const parts = readdirSync(join(ROOT, 'src'));
    expect(
      parts.filter((part) => !new RegExp(`(?:^|[\\s\`])${part.replace('.', '\\.')}(?:$|[\\s\`/])`, 'm').test(floors)),
    ).toEqual([]);
  });

  it('CONTRIBUTING.md gives a reason for every dependency', () => {
    const text = textOf('CONTRIBUTING.md');
    const manifest = JSON.parse(textOf('package.json')) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
    const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    // Packages that are there for one reason share a row.
    const listed = new Set([...text.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, cell]) => cell!.match(/[^`, ]+/g) ?? []));
    expect(names.filter((name) => !listed.has(name))).toEqual([]);
  });
});

/** The anchors that the headings of a document have on GitHub. */
function anchorsOf(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

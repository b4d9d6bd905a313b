import type { CommandEntry } from './program.ts';

/** Every command, in the order of `trellis --help`. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'up',
    summary: 'start a development lattice: NATS server, host, sample components',
    load: () => import('./commands/up.ts'),
  },
  {
    name: 'host',
    summary: 'run the host; takes the flags of host.js (trellis host --help)',
    load: () => import('./commands/host.ts'),
  },
  {
    name: 'demo',
    summary: 'play the main job and five attacks once, and print what happened',
    load: () => import('./commands/demo.ts'),
  },
  { name: 'call', summary: 'call a function of a component, signed', load: () => import('./commands/call.ts') },
  { name: 'get', summary: 'show hosts, what they run, links and claims', load: () => import('./commands/get.ts') },
  { name: 'start', summary: 'start a component on a host of the lattice', load: () => import('./commands/start.ts') },
  { name: 'stop', summary: 'stop a component or a host', load: () => import('./commands/stop.ts') },
  { name: 'scale', summary: 'say how many calls a component may run at once', load: () => import('./commands/scale.ts') },
  { name: 'update', summary: 'replace the image of a component that runs', load: () => import('./commands/update.ts') },
  { name: 'link', summary: 'say which import of a component leads where', load: () => import('./commands/link.ts') },
  { name: 'config', summary: 'keep named configurations', load: () => import('./commands/config.ts') },
  { name: 'label', summary: 'put labels on a host, or take them off', load: () => import('./commands/label.ts') },
  { name: 'watch', summary: 'follow the events of a lattice', load: () => import('./commands/watch.ts') },
  { name: 'spy', summary: 'show the calls to components, without what is in them', load: () => import('./commands/spy.ts') },
  { name: 'down', summary: 'stop the host of a lattice, or all', load: () => import('./commands/down.ts') },
  { name: 'ctx', summary: 'keep under names how to reach lattices', load: () => import('./commands/ctx.ts') },
  { name: 'completion', summary: 'print the completion script of a shell', load: () => import('./commands/completion.ts') },
  { name: 'explain', summary: 'say which check refused a call', load: () => import('./commands/explain.ts') },
  {
    name: 'inspect',
    summary: 'print world, types, digest, size and needs of a component file',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'translate',
    summary: 'translate components beforehand, for a host without a translator',
    load: () => import('./commands/translate.ts'),
  },
  { name: 'wire', summary: 'encode, decode and check values as wRPC writes them', load: () => import('./commands/wire.ts') },
  { name: 'keys', summary: 'make, show, delegate, rotate and revoke keys', load: () => import('./commands/keys.ts') },
  {
    name: 'auth',
    summary: 'make NATS operator, accounts, users and their permissions; configure servers',
    load: () => import('./commands/auth.ts'),
  },
  {
    name: 'doctor',
    summary: 'run every check of a start from a shell: settings, connections, rights, clock, trust',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'issuer',
    summary: 'run the issuer service: signs delegations for the hosts of an allow-list',
    load: () => import('./commands/issuer.ts'),
  },
  { name: 'leaf', summary: 'write the configuration of a leaf node beside a host', load: () => import('./commands/leaf.ts') },
  { name: 'bench', summary: 'measure speed and memory', load: () => import('./commands/bench.ts') },
  {
    name: 'bench-flood',
    summary: 'measure valid calls while forged ones arrive',
    load: () => import('./commands/bench-flood.ts'),
  },
  {
    name: 'bench-lattice',
    summary: 'measure a full host, its control interface, and many neighbours',
    load: () => import('./commands/bench-lattice.ts'),
  },
  { name: 'bench-trust', summary: 'measure what proofs of frames and ids cost', load: () => import('./commands/bench-trust.ts') },
];

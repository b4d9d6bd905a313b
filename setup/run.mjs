// What the scripts in package.json call: `node setup/run.mjs <command> …`. Set-up first, then the command under Trellis' own Node.
const major = Number(process.versions.node.split('.')[0]);
if (major < 18) {
  process.stderr.write(`Trellis' set-up needs Node 18 or later; this is ${process.versions.node} at ${process.execPath}.\n`);
  process.exit(1);
}
const { main } = await import('./main.mjs');
await main(process.argv.slice(2));

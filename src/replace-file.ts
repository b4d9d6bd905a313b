import { open, rename } from 'node:fs/promises';
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';

/** Writes a file, of mode 0600 if nothing else is said, beside, flushes it, and renames it into place: it always holds one whole text. */
export function replaceFile(file: string, text: string, mode = 0o600): void {
  const beside = `${file}.${process.pid}`;
  const handle = openSync(beside, 'w', mode);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(beside, file);
}

/** As {@link replaceFile}, of mode 0600, without making the process wait for the disk. Two at a time for one file are one too many. */
export async function replaceFileLater(file: string, text: string): Promise<void> {
  const beside = `${file}.${process.pid}`;
  const handle = await open(beside, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
}

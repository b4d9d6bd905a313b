import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where all tests of a user keep translated components: by their content, so that each is translated once for all of a run and the next. */
export const CACHE_DIR = join(tmpdir(), `trellis-test-cache-${process.getuid?.() ?? 0}`);

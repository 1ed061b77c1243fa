#!/usr/bin/env -S node --max-semi-space-size=16 --v8-pool-size=1
// Plain JavaScript on purpose: an old Node must get as far as the sentence below instead of a syntax error.
// The flags must stand on the command line (`npm start` has them too). The first keeps V8's young generation at 16 MiB instead
// of up to 128 and so the process small. The second leaves V8 one helper thread instead of four: where cores are few, four
// that mark or scavenge at once take the processor from the event loop, and every record waits for them.
import { existsSync } from 'node:fs';
import module from 'node:module';
import process from 'node:process';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(
    `millstream needs Node 24 or newer, and this is Node ${process.versions.node}.\n` +
      'In a checkout, `npm ci` brings Node 24 along: use `npm start`, `npm test` or `npx millstream`.\n',
  );
  process.exit(2);
}

// 24 partitions sync at once: libuv's default of four threads would queue them. It must be set before the first
// file operation of the process.
process.env.UV_THREADPOOL_SIZE ??= '16';
module.enableCompileCache();

const built = new URL('../dist/server/cli/main.js', import.meta.url);
const source = new URL('../server/cli/main.ts', import.meta.url);
const { main } = await import(existsSync(built) ? built.href : source.href);
process.exitCode = await main(process.argv.slice(2));

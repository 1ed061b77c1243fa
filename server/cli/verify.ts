import { join, resolve } from 'node:path';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { nodeLockHost } from '../../core/base/node-lock-host.ts';
import { verifyData } from '../../core/broker/verify-data.ts';
import { DirectoryLock } from '../../core/log/directory-lock.ts';
import type { Finding } from '../../core/log/verify/finding.ts';
import { type Command, EXIT, text, usageError } from './command.ts';

export const verify: Command = {
  usage: 'verify DIR [--log DIR] [--json]',
  summary: 'read every byte of a stopped data directory and say what does not fit',
  words: [1, 1],
  options: {
    log: { type: 'string', help: 'where the log lies when wal.path puts it elsewhere (default: DIR/log)' },
    json: { type: 'boolean', help: 'the findings and the logs as JSON' },
  },
  async run([word = ''], values, io) {
    const directory = resolve(io.cwd, word);
    const logDirectory =
      text(values, 'log') === undefined ? join(directory, 'log') : resolve(io.cwd, text(values, 'log') ?? '');
    if (!(await nodeDisk.exists(logDirectory))) {
      throw usageError(
        `${word} is no data directory: there is no ${logDirectory}`,
        'give the folder that data_dir names',
      );
    }
    const lock = await DirectoryLock.acquire(nodeLockHost(), directory);
    const logLock = await DirectoryLock.acquire(nodeLockHost(), logDirectory).catch(async (error: unknown) => {
      await lock.release();
      throw error;
    });
    try {
      const { findings, logs } = await verifyData({
        disk: nodeDisk,
        logDirectory,
        metaDirectory: join(directory, 'meta'),
      });
      const problems = findings.filter(finding => finding.severity === 'problem');
      if (values['json'] === true) io.out(`${JSON.stringify({ findings, logs }, null, 2)}\n`);
      else {
        for (const finding of findings) io.out(`${line(finding)}\n`);
        const batches = logs.reduce((sum, log) => sum + log.batches, 0);
        const notes = findings.length - problems.length;
        io.out(
          `${logs.length} logs, ${batches} batches: ${problems.length === 0 ? 'ok' : `${problems.length} problems`}` +
            `${notes > 0 ? `, ${notes} notes` : ''}\n`,
        );
      }
      return problems.length > 0 ? EXIT.problems : EXIT.ok;
    } finally {
      await logLock.release();
      await lock.release();
    }
  },
};

function line({ severity, file, position, what, meaning }: Finding): string {
  return `${severity === 'note' ? 'note: ' : ''}${file}${position === null ? '' : `:${position}`}: ${what}: ${meaning}`;
}

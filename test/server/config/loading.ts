import { type LoadedConfig, loadConfig } from '../../../server/config/load-config.ts';

/** millstream.toml with that text; null: there is none. */
export function load(text: string | null, env: Record<string, string> = {}, cores = 4): LoadedConfig {
  return loadConfig({
    file: text === null ? null : 'millstream.toml',
    env,
    cores,
    readFile: path => {
      if (path === 'millstream.toml') return text as string;
      if (path === '/secrets/key') return 'geheim\n';
      throw new Error(`no such file: ${path}`);
    },
  });
}

export const findings = ({ diagnostics }: LoadedConfig): string[] =>
  diagnostics.map(
    each =>
      `${each.line > 0 ? `${each.line}:${each.column}` : each.file} ${each.severity === 'warning' ? 'warning: ' : ''}${each.message}${each.help ? ` (${each.help})` : ''}`,
  );

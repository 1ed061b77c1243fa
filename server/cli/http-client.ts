import { MillstreamError } from '../../core/base/errors.ts';

/** Asks our own HTTP API. Code UNREACHABLE (exit 3) when nobody listens, REFUSED (exit 4) when the server says no. */
export async function ask(base: string, path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(new URL(path, base), init);
  } catch (error) {
    throw new MillstreamError('unavailable', 'UNREACHABLE', `cannot reach a millstream server at ${base}`, {
      help: 'Start one with `millstream start`, or name another with --server URL.',
      cause: error,
    });
  }
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; help?: string };
  throw new MillstreamError(
    'invalid',
    'REFUSED',
    problem.detail ?? `the server answered ${response.status}`,
    problem.help === undefined ? {} : { help: problem.help },
  );
}

import type { FastifyInstance } from 'fastify';
import { MillstreamError } from '../../../core/base/errors.ts';
import { MAX_MODULE_BYTES } from '../../../etl/sandbox/module-shape.ts';
import type { DeployedModules } from '../../modules/deployed.ts';
import type { PipelineView } from './pipelines.ts';

export interface ModuleRoutesOptions {
  modules: DeployedModules;
  pipelines: () => PipelineView[];
}

/** What `module deploy` says of a module beside its bytes: from module.toml. */
interface Manifest {
  description?: unknown;
  redacts?: unknown;
  state_version?: unknown;
  config_schema?: unknown;
}

/**
 * `/api/v1/wasm/modules`: deploy (POST, the .wasm as body, `X-Module-Name`, and if wanted `X-Module-Version` and
 * `X-Module-Manifest`, JSON in base64), list, show, roll back, remove.
 */
export function moduleRoutes(app: FastifyInstance, { modules, pipelines }: ModuleRoutesOptions): void {
  const usedBy = (name: string, sha256: string): string[] =>
    pipelines().flatMap(pipeline =>
      pipeline.status().steps.some(step => step.module === name && step.sha256 === sha256) ? [pipeline.name] : [],
    );
  const shown = (name: string) => {
    const module = modules.get(name);
    if (!module) throw unknown(name);
    const versions = module.versions.map(({ config_schema: schema, ...each }) => ({
      ...each,
      deployed_at: new Date(each.deployed_at).toISOString(),
      active: each.version === module.active,
      used_by: usedBy(name, each.sha256),
      config_schema: schema ?? null,
    }));
    return { name, active: module.active, versions };
  };

  // One byte more than is taken: then the sentence is ours.
  app.post('/api/v1/wasm/modules', { bodyLimit: MAX_MODULE_BYTES + 1 }, async (request, reply) => {
    const name = request.headers['x-module-name'];
    const version = request.headers['x-module-version'] ?? null;
    if (typeof name !== 'string' || Array.isArray(version)) {
      throw new MillstreamError('invalid', 'NO_NAME', 'the header X-Module-Name says how the module is called');
    }
    const { body } = request;
    if (!(body instanceof Uint8Array)) {
      throw new MillstreamError('invalid', 'NO_BODY', 'the body must be the bytes of the module');
    }
    const about = manifestOf(request.headers['x-module-manifest']);
    const deployed = await modules.deploy(body, { ...about, name, version });
    reply.code(201);
    return { name, version: deployed.version, sha256: deployed.sha256, abi: deployed.abi };
  });
  app.get('/api/v1/wasm/modules', async () => ({ modules: modules.list().map(({ name }) => shown(name)) }));
  app.get<{ Params: { name: string } }>('/api/v1/wasm/modules/:name', async request => shown(request.params.name));
  app.post<{ Params: { name: string } }>('/api/v1/wasm/modules/:name/rollback', async request => {
    const { name } = request.params;
    await modules.rollback(name, versionIn(request.body));
    return shown(name);
  });
  app.delete<{ Params: { name: string }; Querystring: { version?: string } }>(
    '/api/v1/wasm/modules/:name',
    async (request, reply) => {
      const { name } = request.params;
      const { version = null } = request.query;
      const gone = modules.get(name)?.versions.filter(each => version === null || each.version === version) ?? [];
      const users = [...new Set(gone.flatMap(each => usedBy(name, each.sha256)))];
      if (users.length > 0) {
        const message = `\`${name}\` runs in ${users.map(each => `\`${each}\``).join(', ')}`;
        throw new MillstreamError('conflict', 'VERSION_IN_USE', message);
      }
      await modules.remove(name, version);
      return reply.code(204).send();
    },
  );
}

function manifestOf(header: string | string[] | undefined) {
  if (header === undefined) return {};
  let manifest: Manifest;
  try {
    manifest = JSON.parse(Buffer.from(String(header), 'base64').toString()) as Manifest;
  } catch (error) {
    throw new MillstreamError('invalid', 'BAD_MANIFEST', 'X-Module-Manifest is JSON in base64', { cause: error });
  }
  const { description, redacts, state_version: stateVersion, config_schema: schema } = manifest;
  return {
    ...(typeof description === 'string' ? { description } : {}),
    ...(typeof redacts === 'boolean' ? { redacts } : {}),
    ...(Number.isSafeInteger(stateVersion) ? { stateVersion: Number(stateVersion) } : {}),
    ...(typeof schema === 'object' && schema !== null ? { configSchema: schema } : {}),
  };
}

/** `{"version": "1"}`; nothing: the one before. */
function versionIn(body: unknown): string | null {
  if (!(body instanceof Uint8Array) || body.length === 0) return null;
  try {
    const { version = null } = JSON.parse(Buffer.from(body).toString()) as { version?: unknown };
    if (version === null || typeof version === 'string') return version;
  } catch {
    // Said below.
  }
  throw new MillstreamError('invalid', 'BAD_BODY', 'the body is `{"version": "…"}`, or empty for the one before');
}

function unknown(name: string): MillstreamError {
  return new MillstreamError('invalid', 'UNKNOWN_MODULE', `no module \`${name}\` was deployed here`);
}

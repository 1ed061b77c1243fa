import { MillstreamError } from '../../core/base/errors.ts';
import type { PipelinePlan } from '../../etl/definition/plan.ts';
import type { ModuleStore } from '../../etl/sandbox/module-store.ts';
import type { ChainStep, StoredModule } from '../../etl/sandbox/sandbox.ts';
import { configMisfit } from './config-misfit.ts';
import type { DeployedModule, DeployedVersion } from './deployed.ts';

/** A pipeline, or a topic that records are screened for, whose steps may be given other modules while it runs. */
export interface LivePipeline {
  /** As in "pipeline `orders`". */
  readonly title: string;
  readonly plan: Pick<PipelinePlan, 'steps'>;
  /** Why it could not have this module, whatever its config; left out: it can have any. */
  unfit?: (module: StoredModule) => string | null;
  readonly chain: readonly ChainStep[];
  tryOut(steps: readonly ChainStep[]): Promise<void>;
  switchTo(steps: readonly ChainStep[]): Promise<void>;
}

export interface LiveModulesOptions {
  /** What a pipeline finds where nothing was deployed. */
  folders: () => ModuleStore;
  deployed: (name: string) => DeployedModule | null;
  read: (name: string, version: DeployedVersion) => StoredModule;
  stepOf: (step: PipelinePlan['steps'][number], module: StoredModule) => ChainStep;
  pipelines: () => readonly LivePipeline[];
}

/** Versions are many and may be large: only the one that is chosen is read. */
const UNREAD = new Uint8Array(0);

interface Change {
  pipeline: LivePipeline;
  steps: readonly ChainStep[];
}

/**
 * What a deploy or a rollback does to the pipelines that run: those that name the module, and are given other bytes by
 * what is active now, take them with the next commit of each partition. One that would refuse refuses the deploy.
 */
export class LiveModules {
  private readonly options: LiveModulesOptions;
  private folders: ModuleStore | null = null;

  constructor(options: LiveModulesOptions) {
    this.options = options;
  }

  /** If this became the active version: kind `invalid`, the pipeline and its reason in the sentence. */
  async tryOut(module: StoredModule): Promise<void> {
    for (const { pipeline, steps } of this.changes(module.name, module)) {
      try {
        for (const [i, step] of steps.entries()) if (step !== pipeline.chain[i]) checkStep(step, pipeline);
        await pipeline.tryOut(steps);
      } catch (error) {
        if (!(error instanceof MillstreamError)) throw error;
        const help = 'mend the module, or take it out there; what runs goes on as it is';
        const message = `${pipeline.title} cannot run it: ${error.message}`;
        throw new MillstreamError(error.kind, error.code, message, { help, cause: error });
      }
    }
  }

  /** Resolves when every pipeline has taken what is active now. */
  async switchOver(name: string): Promise<void> {
    await Promise.all(this.changes(name, null).map(({ pipeline, steps }) => pipeline.switchTo(steps)));
  }

  /** `active` null: what is active already. */
  private changes(name: string, active: StoredModule | null): Change[] {
    const isNamed = ({ plan }: LivePipeline): boolean => plan.steps.some(({ module }) => module.name === name);
    const pipelines = this.options.pipelines().filter(isNamed);
    if (pipelines.length === 0) return [];
    const store = this.storeFor(name, active);
    return pipelines.flatMap(pipeline => {
      const steps = pipeline.chain.map((before, i) => {
        const step = pipeline.plan.steps[i] as PipelinePlan['steps'][number];
        const found = step.module.name === name ? store.get(name, step.module.version, step.module.sha256) : null;
        if (!found || found.sha256 === before.module.sha256) return before;
        return this.options.stepOf(step, this.read(found));
      });
      return steps.some((step, i) => step !== pipeline.chain[i]) ? [{ pipeline, steps }] : [];
    });
  }

  private storeFor(name: string, active: StoredModule | null): ModuleStore {
    this.folders ??= this.options.folders();
    const module = this.options.deployed(name);
    const deployed = (module?.versions ?? []).map(version => ({
      module: { ...version, name, bytes: UNREAD } as StoredModule,
      isActive: active === null && version.version === module?.active,
    }));
    if (active) deployed.push({ module: active, isActive: true });
    return this.folders.with(deployed);
  }

  private read(found: StoredModule): StoredModule {
    if (found.bytes !== UNREAD) return found;
    const version = this.options.deployed(found.name)?.versions.find(each => each.sha256 === found.sha256);
    return version ? this.options.read(found.name, version) : found;
  }
}

/** What `pipeline lint` would say. */
function checkStep({ name, module, config, onError }: ChainStep, { unfit }: LivePipeline): void {
  const why = unfit?.(module) ?? null;
  if (why !== null) throw new MillstreamError('invalid', 'CONFIG_REFUSED', why);
  if (module.redacts && onError === 'pass') {
    const message = `step ${name}: \`${module.name}\` redacts, so \`on_error\` cannot be "pass"`;
    throw new MillstreamError('invalid', 'CONFIG_REFUSED', message);
  }
  const misfit = configMisfit(module, config);
  if (misfit !== null) throw new MillstreamError('invalid', 'CONFIG_REFUSED', `the config of step ${name}: ${misfit}`);
}

/** What of a pipeline decides when it starts. */
export interface Startable {
  readonly plan: { source: { topic: string }; outputs: readonly { topic: string }[] };
  start(): Promise<void>;
}

/**
 * Starts pipelines behind those whose outputs they read: who writes a topic makes it, with as many partitions as its own
 * source has; who reads it would make it with the broker's default. Those that do not depend on each other start side by
 * side, and so do those that go round in a circle.
 */
export async function startInOrder(pipelines: readonly Startable[]): Promise<void> {
  const depths = new Map<Startable, number>();
  const depth = (pipeline: Startable, path: ReadonlySet<Startable>): number => {
    const known = depths.get(pipeline);
    if (known !== undefined) return known;
    const { topic } = pipeline.plan.source;
    const before = pipelines.filter(
      // Without steps the source is the output; nobody waits for that.
      ({ plan }) => plan.source.topic !== topic && plan.outputs.some(output => output.topic === topic),
    );
    const open = before.filter(other => !path.has(other));
    const found = Math.max(0, ...open.map(other => 1 + depth(other, new Set([...path, other]))));
    depths.set(pipeline, found);
    return found;
  };
  for (const pipeline of pipelines) depth(pipeline, new Set([pipeline]));
  const last = Math.max(0, ...depths.values());
  for (let at = 0; at <= last; at++) {
    await Promise.all(pipelines.filter(pipeline => depths.get(pipeline) === at).map(pipeline => pipeline.start()));
  }
}

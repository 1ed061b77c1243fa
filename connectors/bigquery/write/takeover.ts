import type { PartitionWriter, SinkPartition } from '../../runtime/contract.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { WriteError } from '../api/grpc-errors.ts';
import type { WriterSettings } from './settings.ts';
import { SequencedWriter } from './sequenced-writer.ts';
import { formatState, parseState, type StreamState } from './stream-state.ts';

/**
 * Takes a partition over. FinalizeWriteStream ends the predecessor's stream: it fences whoever still writes there, and
 * answers with the rows that the stream has, which tells how many records behind the committed position are in BigQuery
 * already. That number is committed at once. The next stream is made with the first write.
 */
export async function acquireStream(
  settings: WriterSettings,
  partition: SinkPartition,
  isBuffered: boolean,
): Promise<PartitionWriter> {
  let state: StreamState = { stream: '', base: 0, skip: 0, table: '', next: -1, refused: [] };
  if (partition.state !== null) {
    const before = parseState(partition.state);
    state = before;
    if (before.stream !== '') {
      // Only who may commit may end a stream: one who has lost the partition would stop the new owner.
      await partition.intent(partition.state);
      const skip = await written(settings, before, isBuffered, partition);
      state = { ...before, stream: '', base: 0, skip };
      await partition.intent(formatState(state));
    }
  }
  return new SequencedWriter(settings, partition, state, isBuffered);
}

/** How many rows for records from the position on are in BigQuery. */
async function written(
  { storage, guide, mayCreate }: WriterSettings,
  before: StreamState,
  isBuffered: boolean,
  { topic, partition }: SinkPartition,
): Promise<number> {
  const { stream, base, skip, table } = before;
  let count: number;
  try {
    // Rows below the position may still be hidden; a finalized stream cannot show them any more.
    if (isBuffered && base > 0) await storage.flush(stream, base - 1).catch(unlessFinalized);
    count = await storage.finalize(stream);
  } catch (error) {
    if (!(error instanceof WriteError)) throw error;
    const now = mayCreate ? await guide.look() : await guide.fresh();
    if (now?.id !== table) return 0;
    if (error.grpcCode === 5 || error.storage === 'STREAM_NOT_FOUND') {
      throw stop('STREAM_LOST', `BigQuery does not know the stream of ${topic}/${partition} any more`, error);
    }
    if (error.sinkKind !== 'fenced') throw error;
    // Buffered rows behind the position were never visible: how many there were does not matter.
    if (isBuffered) return 0;
    throw stop(
      'ROW_COUNT_UNKNOWN',
      `BigQuery does not say how many rows the stream of ${topic}/${partition} has`,
      error,
    );
  }
  if (isBuffered) return 0;
  if (count < base) {
    throw stop(
      'ROWS_MISSING',
      `the stream of ${topic}/${partition} has ${count} rows; ${base} were acknowledged`,
      null,
    );
  }
  return skip + count - base;
}

/** Flushing a finalized stream is refused; it was flushed before it was finalized. */
function unlessFinalized(error: unknown): void {
  const isFinalized = error instanceof WriteError && (error.storage === 'STREAM_FINALIZED' || error.grpcCode === 3);
  if (!isFinalized) throw error;
}

const stop = (code: string, what: string, cause: unknown): SinkError =>
  new SinkError('fatal', code, `${what}, so exactly once cannot be kept from here`, {
    cause,
    help: 'look at the table, then reset the sink',
  });

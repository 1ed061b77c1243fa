import type { Header } from '../../log/record.ts';
import type { PartitionKey } from './transaction.ts';

/*
 * What whoever commits wants to be found beside the records that it wrote: a header of the commit marker in one
 * partition, so that it lives as long as those records and costs no further sync. Until the markers are durable it is
 * kept in a header of the PREPARE_COMMIT record, from which recovery writes missing markers:
 *
 *   millstream.note/<partition>/<topic>/<name of the marker's header>
 *
 * Kafka's tools and clients do not look at headers of control records.
 */
const PREFIX = 'millstream.note/';

export interface MarkerNote extends PartitionKey {
  header: Header;
}

export function headersOfNotes(notes: readonly MarkerNote[]): Header[] {
  return notes.map(({ topic, partition, header: [name, value] }) => [`${PREFIX}${partition}/${topic}/${name}`, value]);
}

export function notesOfHeaders(headers: readonly Header[]): MarkerNote[] {
  return headers.flatMap(([key, value]) => {
    if (!key.startsWith(PREFIX)) return [];
    const [partition = '', topic = '', ...name] = key.slice(PREFIX.length).split('/');
    return [{ topic, partition: Number(partition), header: [name.join('/'), value] as const }];
  });
}

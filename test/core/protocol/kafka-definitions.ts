import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';

/** Kafka's own message definitions, as they ship in its jars. */
export interface KafkaField {
  name: string;
  type: string;
  versions?: string;
  nullableVersions?: string;
  default?: string | number | boolean;
  tag?: number;
  taggedVersions?: string;
  fields?: KafkaField[];
}
export interface KafkaMessage {
  name: string;
  validVersions: string;
  flexibleVersions: string;
  fields: KafkaField[];
  commonStructs?: KafkaField[];
}

const JARS = /^kafka-(clients|group-coordinator|transaction-coordinator)-[\d.]+\.jar$/;

/** All definitions found in the jars of `folder`, by message name. */
export function readKafkaDefinitions(folder: string): Map<string, KafkaMessage> {
  const messages = new Map<string, KafkaMessage>();
  for (const jar of readdirSync(folder).filter(name => JARS.test(name))) {
    for (const [name, text] of textsInZip(readFileSync(join(folder, jar)), /^common\/message\/.*\.json$/)) {
      // The files carry comment lines, which JSON does not know.
      const message = JSON.parse(text.replace(/^\s*\/\/.*$/gm, '')) as KafkaMessage;
      if (messages.has(message.name)) throw new Error(`${message.name} is in two jars (${name})`);
      messages.set(message.name, message);
    }
  }
  return messages;
}

/*
 * A zip's directory lies at its end: { 'PK\5\6', ..., entries at +10, offset of the directory at +16 }; an entry is
 * { 'PK\1\2', method +10, packed size +20, lengths of name, extra, comment +28, offset of the file +42, name +46 },
 * the file itself { 30 bytes with the lengths of name and extra at +26, name, extra, data }.
 */
function* textsInZip(zip: Buffer, wanted: RegExp): Generator<[name: string, text: string]> {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const entries = zip.readUInt16LE(end + 10);
  let at = zip.readUInt32LE(end + 16);
  for (let i = 0; i < entries; i++) {
    const nameBytes = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameBytes);
    if (wanted.test(name)) {
      const file = zip.readUInt32LE(at + 42);
      const from = file + 30 + zip.readUInt16LE(file + 26) + zip.readUInt16LE(file + 28);
      const data = zip.subarray(from, from + zip.readUInt32LE(at + 20));
      yield [name, (zip.readUInt16LE(at + 10) === 0 ? data : inflateRawSync(data)).toString('utf8')];
    }
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
}

/**
 * Makes `examples/data/birdstrikes.ndjson` from `birdstrikes.csv`: one report a line, in the file's order. Everything
 * is the FAA's except `id` (the row's number) and `reporter`, which is synthetic and says so: the demo needs personal
 * data to scrub, and the public data rightly has none. The same seed gives the same bytes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '../core/base/random.ts';

const DATA = fileURLToPath(new URL('../examples/data/', import.meta.url));
const SEED = 1990;
/** People who report often: the same address comes again, so that its hash can be counted by. */
const REPORTERS = 400;

const FIRST =
  'Ada,Amélie,Björn,Carlos,Chinwe,Dana,Elif,Fatima,George,Hana,Ines,Jonas,Kofi,Łucja,Mei,Noor,Olga,Priya,Quinn,Rosa,Søren,Tomás,Ute,Wanjiru,Yuki,Zoë';
const LAST =
  "Abara,Baker,Castillo,Dvořák,Eriksen,Fischer,García,Haddad,Ivanova,Jansen,Kowalski,Lindqvist,Müller,Nakamura,O'Brien,Patel,Quispe,Rossi,Świątek,Tanaka,Umar,Vargas,Wójcik,Yılmaz,Zhang";
/** Reserved for documentation by RFC 2606; the telephone numbers below are the fictional 555-0100 to 555-0199. */
const DOMAINS = ['example.com', 'example.net', 'example.org'];

export function makeDemoData(csv: string): string {
  const random = seededRandom(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.float() * list.length)] as T;
  const reporters = Array.from({ length: REPORTERS }, () => {
    const first = pick(FIRST.split(','));
    const last = pick(LAST.split(','));
    const mailbox = `${plain(first)}.${plain(last)}${Math.floor(random.float() * 90 + 10)}`;
    const area = Math.floor(random.float() * 700 + 201);
    const line = String(Math.floor(random.float() * 100)).padStart(2, '0');
    return { name: `${first} ${last}`, email: `${mailbox}@${pick(DOMAINS)}`, phone: `+1-${area}-555-01${line}` };
  });

  const [header, ...rows] = parseCsv(csv);
  const column = new Map((header ?? []).map((name, i) => [name, i]));
  return rows
    .map((row, i) => {
      const get = (name: string): string => row[column.get(name) ?? -1] ?? '';
      const speed = get('Speed IAS in knots');
      const report = {
        id: `bs-${String(i + 1).padStart(5, '0')}`,
        flight_date: get('Flight Date'),
        airport: get('Airport Name'),
        state: get('Origin State'),
        operator: get('Aircraft Airline Operator'),
        aircraft: get('Aircraft Make Model'),
        phase: get('Phase of flight'),
        speed_knots: speed === '' ? null : Number(speed),
        wildlife: { species: get('Wildlife Species'), size: get('Wildlife Size') },
        damage: get('Effect Amount of damage'),
        cost_usd: Number(get('Cost Total $')),
        reporter: { ...pick(reporters), synthetic: true },
      };
      return `${JSON.stringify(report)}\n`;
    })
    .join('');
}

/** Letters only, without accents: a mailbox. */
function plain(name: string): string {
  return name
    .normalize('NFD')
    .replaceAll('ł', 'l')
    .replaceAll('Ł', 'L')
    .replaceAll('ø', 'o')
    .replaceAll('ı', 'i')
    .replace(/[^A-Za-z]/g, '')
    .toLowerCase();
}

/** RFC 4180: commas, quotes (doubled inside quotes), lines that end with LF or CRLF. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  // A field (quoted or not) and what ends it.
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,"\r\n]*))(,|\r?\n|$)/g)) {
    if (end === '' && row.length === 0 && bare === '') break;
    row.push(quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const ndjson = makeDemoData(readFileSync(`${DATA}birdstrikes.csv`, 'utf8'));
  writeFileSync(`${DATA}birdstrikes.ndjson`, ndjson);
  console.log(`birdstrikes.ndjson  ${(Buffer.byteLength(ndjson) / 1e6).toFixed(2)} MB`);
}

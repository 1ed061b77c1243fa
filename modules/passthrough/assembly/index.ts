import { Output, Record } from 'millstream/assembly';

export function transform(r: Record, out: Output): void {
  out.emit(r);
}

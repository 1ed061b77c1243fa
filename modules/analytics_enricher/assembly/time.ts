const DAY: i64 = 86400000;
const WEEKDAYS = ['Thursday', 'Friday', 'Saturday', 'Sunday', 'Monday', 'Tuesday', 'Wednesday'];

/** "date" 2026-01-31, "hour" 07, "weekday" Monday, "iso" 2026-01-31T07:05:09.123Z: of milliseconds since the epoch, UTC. */
export function timeText(at: i64, unit: string): string {
  const day = floorDivided(at, DAY);
  if (unit == 'weekday') return WEEKDAYS[<i32>(day - floorDivided(day, 7) * 7)];
  const inDay = at - day * DAY;
  const hour = two(inDay / 3600000);
  if (unit == 'hour') return hour;
  if (unit == 'date') return dateText(day);
  const seconds = two((inDay / 60000) % 60) + ':' + two((inDay / 1000) % 60);
  return dateText(day) + 'T' + hour + ':' + seconds + '.' + (inDay % 1000).toString().padStart(3, '0') + 'Z';
}

/** Days since the epoch to year-month-day (Howard Hinnant's civil_from_days: eras of 400 years that begin in March). */
function dateText(day: i64): string {
  const shifted = day + 719468;
  const era = floorDivided(shifted, 146097);
  const ofEra = shifted - era * 146097;
  const yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146096) / 365;
  const ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
  const march = (5 * ofYear + 2) / 153;
  const month = march < 10 ? march + 3 : march - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return year.toString().padStart(4, '0') + '-' + two(month) + '-' + two(ofYear - (153 * march + 2) / 5 + 1);
}

function floorDivided(value: i64, by: i64): i64 {
  return value >= 0 ? value / by : -((by - 1 - value) / by);
}

function two(value: i64): string {
  return value < 10 ? '0' + value.toString() : value.toString();
}

import { Json, Output, Record, json } from 'millstream/assembly';
import { impactJoules } from './impact';
import { isPlausible, rangeText } from './speed';

let costlyFrom: f64 = 1000;
let severeFrom: f64 = 250000;

export function configure(config: Json): string | null {
  const costly = config.get('costly_from');
  const severe = config.get('severe_from');
  if (costly.exists && !costly.isNumber) return '`costly_from` must be a number';
  if (severe.exists && !severe.isNumber) return '`severe_from` must be a number';
  costlyFrom = costly.number(costlyFrom);
  severeFrom = severe.number(severeFrom);
  return costlyFrom > severeFrom ? '`costly_from` must not be above `severe_from`' : null;
}

export function transform(r: Record, out: Output): void {
  const report = r.json();
  if (report === null) return;

  const damage = report.get('damage');
  const substantial = damage.isText('Substantial');
  const medium = damage.isText('Medium');
  if (!substantial && !medium && !damage.isText('None') && !damage.isText('Minor')) {
    return r.fail('UNKNOWN_DAMAGE', 'damage "' + damage.text() + '" is none of None, Minor, Medium, Substantial');
  }
  const phase = report.get('phase').text();
  const speed = report.get('speed_knots').number();
  if (!isNaN(speed) && !isPlausible(phase, speed)) {
    const knots = json.number(speed).toString();
    return r.fail('IMPLAUSIBLE_SPEED', knots + ' knots in phase "' + phase + '": expected ' + rangeText(phase));
  }

  const cost = report.get('cost_usd').number(0);
  let tier = 'routine';
  if (substantial || cost >= severeFrom) tier = 'severe';
  else if (medium || cost >= costlyFrom) tier = 'costly';

  let classified = report.set('tier', json.quote(tier));
  const joules = impactJoules(report.get('wildlife.size').text(), speed);
  if (!isNaN(joules)) classified = classified.set('impact_joules', json.number(joules));
  r.setValue(classified.raw);
  r.setHeader('tier', tier);
  if (tier == 'severe' && out.has('severe')) out.to('severe', r);
  else out.emit(r);
}

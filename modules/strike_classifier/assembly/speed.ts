/*
 * Indicated airspeeds in knots that a phase of flight can have. On the ground the tyres set the limit (about 200 knots
 * at lift-off for airliners), in the air nothing that flies into birds stays up below 35 but helicopters on the spot.
 */
function lowest(phase: string): f64 {
  return phase == 'Climb' || phase == 'Descent' || phase == 'Approach' ? 35 : 0;
}

function highest(phase: string): f64 {
  if (phase == 'Parked') return 30;
  if (phase == 'Taxi') return 60;
  if (phase == 'Take-off run' || phase == 'Landing Roll') return 220;
  return 600;
}

export function isPlausible(phase: string, knots: f64): bool {
  return knots >= lowest(phase) && knots <= highest(phase);
}

export function rangeText(phase: string): string {
  return (<i32>lowest(phase)).toString() + ' to ' + (<i32>highest(phase)).toString();
}

/** Metres a second in one knot. */
const KNOT: f64 = 1852.0 / 3600.0;

/** Kilograms: the heaviest small, medium and large bird that engines are certified with (14 CFR 33.76). */
function massOf(size: string): f64 {
  if (size == 'Small') return 0.085;
  if (size == 'Medium') return 1.15;
  if (size == 'Large') return 3.65;
  return NaN;
}

/** Kinetic energy of the bird as the aircraft meets it, whole joules; NaN when size or speed is not known. */
export function impactJoules(size: string, knots: f64): f64 {
  const speed = knots * KNOT;
  return Math.floor(0.5 * massOf(size) * speed * speed + 0.5);
}

/** How large Element Call believes its frame to be. */

/** Below this height it hides its buttons until somebody points at it, so that nobody sees whether they are heard (its windowMode: "flat" up to 600). */
const ROOMY_PX = 608;
/** Text does not get smaller than this. */
const SMALLEST = 0.78;

export interface Fit {
  readonly scale: number;
  readonly width: number;
  readonly height: number;
}

/** The frame's own size and its scale, for the place it has, in CSS pixels. Where the place is too low for that, it stays as it is: phones show buttons at a tap. */
export function fitOf(width: number, height: number): Fit {
  const scale = height / ROOMY_PX;
  return scale < 1 && scale >= SMALLEST ? { scale, width: Math.ceil(width / scale), height: ROOMY_PX } : { scale: 1, width, height };
}

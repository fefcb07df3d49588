/** Small pieces of the call page. */
import { useEffect, useLayoutEffect, useRef, useState, type ReactNode, type RefObject } from "react";
import type { Translate } from "./words";
import type { Media, Source } from "./wire";

/** A button that keeps the focus while it does nothing: what is under way, or not possible now, is told by aria-disabled. `id` finds it again in the list (useKeptFocus). */
export function Press(props: {
  readonly id?: string;
  readonly className?: string;
  readonly idle?: boolean;
  readonly busy?: boolean;
  readonly label?: string;
  readonly expanded?: boolean;
  readonly controls?: string;
  readonly onClick: () => void;
  readonly children: ReactNode;
}) {
  const idle = props.idle === true || props.busy === true;
  return (
    <button
      type="button"
      data-key={props.id}
      className={props.className}
      aria-label={props.label}
      aria-disabled={idle || undefined}
      aria-busy={props.busy === true || undefined}
      aria-expanded={props.expanded}
      aria-controls={props.controls}
      onClick={() => !idle && props.onClick()}
    >
      {props.children}
    </button>
  );
}

const SLASH = "M4 4 20 20";
const ARROW = ["M12 14V8", "m9.5 10 2.5-2.5 2.5 2.5"];
const PATHS: Readonly<Record<Source, readonly string[]>> = {
  microphone: ["M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3Z", "M5.5 11a6.5 6.5 0 0 0 13 0", "M12 17.5V21"],
  camera: ["M4 6.5h9.5A1.5 1.5 0 0 1 15 8v8a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 16V8A1.5 1.5 0 0 1 4 6.5Z", "m15 11 6-3.5v9L15 13"],
  screen_share: ["M4 4.5h16A1.5 1.5 0 0 1 21.5 6v9.5A1.5 1.5 0 0 1 20 17H4a1.5 1.5 0 0 1-1.5-1.5V6A1.5 1.5 0 0 1 4 4.5Z", "M8.5 20.5h7"],
};

/** How a source of a device stands: a picture, and words for whoever does not see it. */
export function MediaIcon({ source, media, t }: { readonly source: Source; readonly media: Media; readonly t: Translate }) {
  const text = t(`media.${source}.${media}`);
  return (
    <span className="media" data-media={media} title={text}>
      <svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
        {PATHS[source].map((d) => <path key={d} d={d} />)}
        {media !== "on" ? <path d={SLASH} /> : source === "screen_share" ? ARROW.map((d) => <path key={d} d={d} />) : null}
      </svg>
      <span className="spoken">{text}</span>
    </span>
  );
}

/** The time, every `ms`; still while `ms` is 0. */
export function useNow(ms: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    setNow(Date.now());
    if (ms === 0) return;
    const timer = setInterval(() => setNow(Date.now()), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return now;
}

/**
 * Keeps the keyboard where it was when the page changes: what moved is found again by its `data-key`, or by that of its row (what stands before the space); what is gone
 * hands the focus to the list's heading, or to the page's.
 */
export function useKeptFocus(page: RefObject<HTMLElement | null>): void {
  const last = useRef<string>(undefined);
  useEffect(() => {
    const remember = () => {
      const active = document.activeElement;
      // The body is where the focus falls when its element goes: that is for the effect below to tell.
      if (active && active !== document.body) last.current = page.current?.contains(active) ? ((active as HTMLElement).dataset.key ?? "") : undefined;
    };
    const nowhere = (e: PointerEvent) => void (e.target instanceof Element && !e.target.closest("button, input, label") && (last.current = undefined));
    document.addEventListener("focusin", remember);
    document.addEventListener("pointerdown", nowhere);
    return () => {
      document.removeEventListener("focusin", remember);
      document.removeEventListener("pointerdown", nowhere);
    };
  }, [page]);
  useLayoutEffect(() => {
    const key = last.current;
    if (key === undefined || document.activeElement !== document.body || document.querySelector("dialog[open]")) return;
    const all = [...(page.current?.querySelectorAll<HTMLElement>("[data-key]") ?? [])];
    const row = key.split(" ")[0];
    const next = all.find((e) => e.dataset.key === key) ?? all.find((e) => e.dataset.key?.split(" ")[0] === row);
    (next ?? page.current?.querySelector<HTMLElement>("h2[tabindex]") ?? page.current?.querySelector<HTMLElement>("h1"))?.focus();
  });
}

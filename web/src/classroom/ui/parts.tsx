/** Small pieces that everything else uses. */
import { useEffect, useId, useRef, type ReactNode } from "react";

const COLOURS = 6;

/** Initials on a colour that stays the same for the same person. Decorative: the name stands beside it. */
export function Avatar({ name, id, square = false }: { readonly name: string; readonly id: string; readonly square?: boolean }) {
  const letters = [...name.replace(/^[@#!]/, "").trim()];
  let hash = 0;
  for (const ch of id) hash = (hash * 31 + (ch.codePointAt(0) ?? 0)) >>> 0;
  return (
    <span className={`avatar avatar-${hash % COLOURS}${square ? " avatar-square" : ""}`} aria-hidden="true" data-letter={(letters[0] ?? "?").toUpperCase()} />
  );
}

export function Spinner() {
  return <span className="spinner" aria-hidden="true" />;
}

const PATHS = {
  people: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0 2c-3.9 0-7 2.2-7 5v1h14v-1c0-2.8-3.1-5-7-5Zm7.5-2a3.5 3.5 0 0 0 0-7 6 6 0 0 1 0 7Zm1.3 2.2c1.4 1.2 2.2 2.9 2.2 4.8v1h2v-1c0-2.3-1.7-4.2-4.2-4.8Z",
  lock: "M7 10V7a5 5 0 0 1 10 0v3h1a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1h1Zm2 0h6V7a3 3 0 0 0-6 0v3Z",
  unlock: "M9 10h9a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1h1V7a5 5 0 0 1 9.6-2l-1.8.8A3 3 0 0 0 9 7v3Z",
  back: "m14 5 1.4 1.4L9.8 12l5.6 5.6L14 19l-7-7 7-7Z",
  board: "M4 4h16a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1h-5l2 4h-2.2l-2-4h-1.6l-2 4H7l2-4H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1Zm1 2v9h14V6H5Zm2 6.5 3-4 2.2 2.6L14.5 8l2.5 4.5H7Z",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm6.3 8h-2.4a13 13 0 0 0-1.4-4.9A7 7 0 0 1 18.3 11ZM12 5.1c.8 1.1 1.7 3.1 1.9 5.9h-3.8c.2-2.8 1.1-4.8 1.9-5.9ZM9.5 6.1A13 13 0 0 0 8.1 11H5.7a7 7 0 0 1 3.8-4.9ZM5.7 13h2.4c.2 1.9.7 3.6 1.4 4.9A7 7 0 0 1 5.7 13Zm6.3 5.9c-.8-1.1-1.7-3.1-1.9-5.9h3.8c-.2 2.8-1.1 4.8-1.9 5.9Zm2.5-1c.7-1.3 1.2-3 1.4-4.9h2.4a7 7 0 0 1-3.8 4.9Z",
  call: "M4 6h11a1 1 0 0 1 1 1v3.2l4.4-2.9a.4.4 0 0 1 .6.3v8.8a.4.4 0 0 1-.6.3L16 13.8V17a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1Z",
  larger: "M4 4h7v2H7.400l4 4L10 11.400l-4-4V11H4V4Zm16 16h-7v-2h3.600l-4-4 1.400-1.400 4 4V13h2v7Z",
  smaller: "M11 11H4V9h3.600l-4-4L5 3.600l4 4V4h2v7Zm2 2h7v2h-3.600l4 4-1.400 1.400-4-4V20h-2v-7Z",
  plus: "M11 4h2v7h7v2h-7v7h-2v-7H4v-2h7V4Z",
  tick: "m9.5 15.6 9.1-9.1L20 7.9 9.5 18.4 4 12.9l1.4-1.4 4.1 4.1Z",
  warn: "M12 3 1.8 20.5h20.4L12 3Zm-1 6.5h2v5h-2v-5Zm0 6.5h2v2h-2v-2Z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, flip = false }: { readonly name: IconName; readonly flip?: boolean }) {
  return (
    <svg className={flip ? "icon icon-flip" : "icon"} viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="currentColor" fillRule="evenodd" />
    </svg>
  );
}

/** A question that must be answered. The browser's own modal dialog: focus stays inside, the rest is inert, Escape is `onCancel`. */
export function Dialog({ title, onCancel, children, testId }: { readonly title: string; readonly onCancel: () => void; readonly children: ReactNode; readonly testId: string }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    if (!dialog) return;
    dialog.showModal();
    // A widget that starts up behind the question may take the focus although it is inert, and would keep the keyboard: fetch it back.
    let last: Element | null = document.activeElement;
    const watch = (): void => {
      const now = document.activeElement;
      if (dialog.contains(now)) last = now;
      else if (now instanceof HTMLIFrameElement) (last instanceof HTMLElement && dialog.contains(last) ? last : dialog).focus();
    };
    const soon = (): void => void setTimeout(watch);
    watch();
    dialog.addEventListener("focusin", watch);
    window.addEventListener("blur", soon);
    return () => {
      dialog.removeEventListener("focusin", watch);
      window.removeEventListener("blur", soon);
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      className="dialog"
      tabIndex={-1}
      aria-labelledby={id}
      data-testid={testId}
      onCancel={(ev) => {
        ev.preventDefault();
        onCancel();
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

/** A quiet page-sized message with an optional action. */
export function Notice({ title, children, busy = false, live = false }: { readonly title: string; readonly children?: ReactNode; readonly busy?: boolean; readonly live?: boolean }) {
  return (
    <div className="notice" role={live ? "status" : undefined}>
      {busy && <Spinner />}
      <h2>{title}</h2>
      {children}
    </div>
  );
}

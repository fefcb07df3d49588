import { useEffect, useState, type ReactNode } from "react";

/** Takes clicks only half a second after it appeared, against clicks that were lured to this spot. */
export function SteadyButton(props: { readonly className?: string; readonly disabled?: boolean; readonly onClick: () => void; readonly children: ReactNode }) {
  const [steady, setSteady] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSteady(true), 500);
    return () => clearTimeout(timer);
  }, []);
  const ready = steady && props.disabled !== true;
  return <button type="button" className={props.className} aria-disabled={!ready} onClick={() => ready && props.onClick()}>{props.children}</button>;
}

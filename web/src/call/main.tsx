/** The call page: what needs React. */
import { createRoot } from "react-dom/client";
import type { Host } from "../host/widget";
import "./call.css";
import type { Launcher } from "./launcher";
import { Page } from "./Page";
import type { Translate } from "./words";

export function openPage(root: HTMLElement, host: Host, launcher: Launcher, t: Translate): void {
  createRoot(root).render(<Page launcher={launcher} host={host} t={t} />);
}

/** Who is in the call; for moderators with what they may decide about each. */
import { useState } from "react";
import type { Launcher, View } from "./launcher";
import { listed } from "./outcome";
import { MediaIcon, Press } from "./parts";
import { barred, decided, inCall, mediaOf, notInCall, toggled } from "./state";
import type { Translate } from "./words";
import { SOURCES, type Act, type Call, type Device, type Member, type Source, type Stranger } from "./wire";

/** A question before something that is hard to take back. */
export type Ask = (question: { readonly kind: "kick" | "ban"; readonly member: Member }) => void;

interface Common {
  readonly call: Call;
  readonly view: View;
  readonly launcher: Pick<Launcher, "act" | "allow">;
  readonly onAsk: Ask;
  readonly t: Translate;
}

export function People(props: Common) {
  const { call, t } = props;
  const [open, setOpen] = useState("");
  const language = t("language");
  const there = inCall(call, language);
  const out = call.moderator ? notInCall(call, language) : [];
  const row = (m: Member) => <Row key={m.user_id} {...props} member={m} open={open === m.user_id} onOpen={(yes) => setOpen(yes ? m.user_id : "")} />;
  if (there.length + out.length + call.strangers.length === 0) return null;
  return (
    <section className="people" aria-label={t("people.title")}>
      {there.length > 0 ? (
        <>
          <h2 tabIndex={-1}>{t("people.title")}</h2>
          <ul>{there.map(row)}</ul>
        </>
      ) : null}
      {call.strangers.length > 0 ? <Strangers {...props} /> : null}
      {out.length > 0 ? (
        <>
          <h2 tabIndex={-1}>{t("out.title")}</h2>
          <p className="quiet">{t("out.text")}</p>
          <ul>{out.map(row)}</ul>
        </>
      ) : null}
    </section>
  );
}

function Row({ call, view, launcher, onAsk, t, member, open, onOpen }: Common & { readonly member: Member; readonly open: boolean; readonly onOpen: (open: boolean) => void }) {
  const { user_id, name, devices } = member;
  const more = `more-${user_id}`;
  const press = (action: "mute" | "remove" | "readmit" | "stop_video" | "stop_share", idle = false) => {
    const key = `${user_id} ${action}`;
    return <Press id={key} label={t("act.of", { act: t(`act.${action}`), name })} idle={idle} busy={view.busy.has(key)} onClick={() => void launcher.act(key, { action, user_id } as Act)}>{t(`act.${action}`)}</Press>;
  };
  const ask = (kind: "kick" | "ban") => <Press id={`${user_id} ${kind}`} className="grave" label={t("act.of", { act: t(`act.${kind}`), name })} busy={view.busy.has(`${user_id} ${kind}`)} onClick={() => onAsk({ kind, member })}>{t(`act.${kind}`)}</Press>;
  // Of a device on another server nobody here knows what it does.
  const nothing = (source: Source) => mediaOf(member, source) !== "on" && !devices.some((d) => d.where === "elsewhere");
  return (
    <li>
      <div className="line">
        <span className="who">
          <bdi className="name">{name}</bdi>
          <Marks call={call} member={member} t={t} />
        </span>
        {devices.length === 1 ? <DeviceState device={devices[0]!} t={t} /> : null}
        {member.may_moderate ? (
          <span className="acts">
            {devices.length > 0 ? press("mute", nothing("microphone")) : member.removed ? press("readmit") : null}
            <Press id={`${user_id} more`} label={t("act.of", { act: t(open ? "act.less" : "act.more"), name })} expanded={open} {...(open ? { controls: more } : {})} onClick={() => onOpen(!open)}>{t(open ? "act.less" : "act.more")}</Press>
          </span>
        ) : null}
      </div>
      {devices.length > 1 ? (
        <ul className="devices">
          {devices.map((d) => (
            <li key={d.device} className="line">
              <span className="who quiet">{t("people.device", { device: d.device })}</span>
              <DeviceState device={d} t={t} />
            </li>
          ))}
        </ul>
      ) : null}
      {open && member.may_moderate ? (
        <div className="more" id={more} role="group" aria-label={name}>
          {devices.length > 0 ? <div className="buttons">{press("stop_video", nothing("camera"))}{press("stop_share", nothing("screen_share"))}</div> : null}
          <May
            legend={t("act.may", { name })}
            id={user_id}
            sources={view.wanted[user_id] ?? member.sources}
            barred={barred(call, member)}
            onChange={(wanted) => void launcher.allow(user_id, wanted, (all) => decided(call, member, all))}
            t={t}
          />
          <div className="buttons">
            {member.removed ? (devices.length > 0 ? press("readmit") : null) : press("remove")}
            {member.joined ? ask("kick") : null}
            {ask("ban")}
          </div>
        </div>
      ) : null}
    </li>
  );
}

function Marks({ call, member, t }: { readonly call: Call; readonly member: Member; readonly t: Translate }) {
  const fewer = member.role === "participant" && call.sources.some((s) => !member.sources.includes(s));
  return (
    <>
      {member.user_id === call.user_id ? <span className="quiet">({t("people.you")})</span> : null}
      {member.role === "moderator" ? <span className="mark">{t("people.moderator")}</span> : null}
      {member.external ? <span className="mark"><bdi>{t("people.external", { server: member.external })}</bdi></span> : null}
      {member.joined ? null : <span className="mark" data-tone="warn">{t("people.left")}</span>}
      {member.removed ? <span className="mark" data-tone="warn">{t("people.removed")}</span> : null}
      {call.moderator && fewer && !member.removed ? <span className="mark" data-tone="warn">{member.sources.length === 0 ? t("people.may.none") : t("people.may", { what: listed(member.sources, t) })}</span> : null}
    </>
  );
}

function DeviceState({ device, t }: { readonly device: Device; readonly t: Translate }) {
  if (device.where !== "here") return <span className="mark" data-tone={device.where === "elsewhere" ? "warn" : undefined}>{t(`people.${device.where}`)}</span>;
  return (
    <span className="sources">
      {device.listed ? null : <span className="mark" data-tone="warn">{t("people.unlisted")}</span>}
      {SOURCES.map((s) => <MediaIcon key={s} source={s} media={device[s]} t={t} />)}
    </span>
  );
}

/** What may be published. Sources that are barred for everybody cannot be given to one person. */
export function May(props: { readonly legend: string; readonly id: string; readonly sources: readonly Source[]; readonly barred?: readonly Source[]; readonly onChange: (sources: readonly Source[]) => void; readonly t: Translate }) {
  const { t, sources, barred = [] } = props;
  return (
    <fieldset className="may">
      <legend>{props.legend}</legend>
      {SOURCES.map((s) => {
        const no = barred.includes(s);
        return (
          <label key={s} data-off={no || undefined}>
            <input type="checkbox" data-key={`${props.id} may-${s}`} checked={sources.includes(s) && !no} aria-disabled={no || undefined} onChange={() => !no && props.onChange(toggled(sources, s))} />
            <span>{t(`may.${s}`)}{no ? <span className="quiet"> ({t("act.barred")})</span> : null}</span>
          </label>
        );
      })}
    </fieldset>
  );
}

function Strangers({ call, view, launcher, t }: Common) {
  const remove = (s: Stranger) => {
    const key = `stranger:${s.identity} remove`;
    return <span className="acts"><Press id={key} label={t("act.of", { act: t("act.remove"), name: s.identity })} busy={view.busy.has(key)} onClick={() => void launcher.act(key, { action: "remove", identity: s.identity })}>{t("act.remove")}</Press></span>;
  };
  return (
    <div className="strangers" role="group" aria-labelledby="strangers-title">
      <h3 id="strangers-title">{t("strangers.title")}</h3>
      <p>{t("strangers.text")}</p>
      <ul>
        {call.strangers.map((s) => (
          <li key={s.identity} className="line">
            <span className="who"><bdi className="name">{s.identity}</bdi>{s.kind ? <span className="quiet">{t("strangers.kind", { kind: s.kind.toLowerCase() })}</span> : null}</span>
            {call.moderator ? remove(s) : null}
          </li>
        ))}
      </ul>
    </div>
  );
}

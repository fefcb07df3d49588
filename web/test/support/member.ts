import { Board, type Surface } from "../../src/board/board";
import { byIndex } from "../../src/board/element";
import type { Login, Session } from "../../src/link/session";
import type { Tab } from "./browser";
import { QueuedWorker } from "./document";
import { FakeScene } from "./scene";
import type { Connection, FakeServer } from "./server";

/** Somebody with the whole board behind their page, the real one but for browser, network and Excalidraw. */
export class Member {
  readonly scene = new FakeScene();
  readonly worker = new QueuedWorker();
  readonly board: Board;
  readonly session: Pick<Session, "token" | "forget" | "iceServers" | "document" | "scene" | "info" | "skew" | "home" | "takeOver" | "addPage" | "rule" | "gather" | "hand" | "letErase" | "versions" | "version" | "drew" | "roles" | "setRole" | "setup" | "signIns" | "endSignIn">;
  online = true;
  /** The server does not get to reading what this one sends. */
  unread = false;
  fetches = 0;
  private connection: Connection | undefined;

  constructor(
    readonly server: FakeServer,
    readonly random: () => number,
    readonly person = "@ada:example.org",
    readonly tab?: Tab,
  ) {
    this.session = {
      skew: 0,
      home: () => Promise.reject(new Error("not here")),
      takeOver: () => Promise.reject(new Error("not here")),
      rule: () => Promise.reject(new Error("nobody rules here")),
      hand: () => Promise.reject(new Error("nobody looks here")),
      gather: () => Promise.reject(new Error("nobody moderates here")),
      letErase: () => Promise.reject(new Error("nobody moderates here")),
      versions: () => Promise.reject(new Error("no past here")),
      version: () => Promise.reject(new Error("no past here")),
      roles: () => Promise.reject(new Error("nobody moderates here")),
      setRole: () => Promise.reject(new Error("nobody moderates here")),
      setup: () => Promise.reject(new Error("nobody moderates here")),
      signIns: () => Promise.reject(new Error("nobody is signed in here")),
      endSignIn: () => Promise.reject(new Error("nobody is signed in here")),
      drew: () => Promise.reject(new Error("no past here")),
      addPage: () => (this.online ? Promise.resolve(server.addPage()) : Promise.reject(new Error("offline"))),
      info: { user_id: person } as Login,
      forget: () => undefined,
      iceServers: [],
      token: () => (this.online ? Promise.resolve("token") : Promise.reject(new Error("offline"))),
      scene: () => Promise.reject(new Error("nobody watches here")),
      document: () => {
        if (!this.online) return Promise.reject(new Error("offline"));
        this.fetches++;
        return Promise.resolve(server.model?.document() ?? { bytes: undefined, log: server.log, epoch: 0, seq: 0 });
      },
    };
    this.board = new Board({
      session: this.session,
      port: this.worker,
      random,
      ...(tab ? { keep: tab } : {}),
      openSocket: (events) => {
        const pipe = server.openSocket(events);
        this.connection = server.connections.at(-1);
        return pipe;
      },
    });
    const surface: Surface = Object.assign(this.scene, { busy: () => this.scene.hold.size > 0, size: () => ({ width: 800, height: 600 }), look: () => undefined, looks: () => ({ scrollX: 0, scrollY: 0, zoom: 1 }), empty: () => (this.scene.list = []), showCollaborators: () => undefined });
    this.board.attach(surface);
    this.board.link.connect();
  }

  /** The network takes whatever there is, both ways. Answers how much that was. */
  carry(most = Infinity): number {
    const c = this.connection;
    if (!c || c.dead) return 0;
    const read = this.unread ? 0 : c.read(most);
    this.server.flush(c, most);
    return read + c.deliver(0, most);
  }

  cut(): void {
    this.connection?.cut();
  }

  goOffline(): void {
    this.online = false;
    this.cut();
  }

  /** The tab is closed, or the machine off: nothing is told to anybody. */
  die(): void {
    this.goOffline();
    this.board.close();
    this.worker.stop();
    this.tab?.die();
  }

  /** Excalidraw tells of what the user did. */
  tell(): void {
    this.board.sceneChanged(this.scene.list, this.scene.hold.size > 0);
  }

  get page() {
    return this.board.page;
  }

  visible(): unknown[] {
    return [...this.scene.list]
      .sort(byIndex)
      .filter((e) => !e.isDeleted)
      .map(({ version: _v, versionNonce: _n, updated: _u, lastCommittedPoint: _l, boundElements: _b, ...e }) => e);
  }
}

// Keeps the rows of the list in their places while somebody is about to act on one.
import type { Loaded } from "../data/PageList.ts";

type Row = { _id: string };
export type Reason = "pointer" | "menu" | "scroll";

export type Shown<Of> = {
  rows: readonly Of[];
  gone: ReadonlySet<string>; // ids of rows that have left the list, and keep their places for now
  waiting: number; // new rows that are not shown yet
  arrived: ReadonlySet<string>; // ids of new rows that are shown
};

type Source<Of> = { subscribe: (listener: () => void) => () => void; read: () => Loaded<Of> };

const NONE: ReadonlySet<string> = new Set();

// Why the list holds still. While the pointer is over it or a menu is open, no row moves. While it is scrolled, new rows
// wait; the others may move, and the page scrolls with them.
export class Hold {
  #reasons = new Set<Reason>();
  #listeners = new Set<() => void>();

  set(reason: Reason, isOn: boolean): void {
    if (this.#reasons.has(reason) === isOn) return;
    if (isOn) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    for (const listener of this.#listeners) listener();
  }

  get isStill(): boolean {
    return this.#reasons.has("pointer") || this.#reasons.has("menu");
  }

  get isWaiting(): boolean {
    return this.#reasons.size > 0;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
}

export class HeldList<Of extends Row> {
  #source: Source<Of>;
  #hold: Hold;
  #admitted: ReadonlySet<string> = NONE; // arrivals that are shown
  #shown: Shown<Of> = { rows: [], gone: NONE, waiting: 0, arrived: NONE };
  #made: { loaded: Loaded<Of>; isStill: boolean; isWaiting: boolean } | null = null;
  #listeners = new Set<() => void>();

  constructor(source: Source<Of>, hold: Hold) {
    this.#source = source;
    this.#hold = hold;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    const stops = [this.#source.subscribe(listener), this.#hold.subscribe(listener)];
    return () => {
      this.#listeners.delete(listener);
      for (const stop of stops) stop();
    };
  };

  read = (): Shown<Of> => {
    const loaded = this.#source.read();
    const { isStill, isWaiting } = this.#hold;
    const made = this.#made;
    if (made?.loaded !== loaded || made.isStill !== isStill || made.isWaiting !== isWaiting) this.#make(isStill);
    return this.#shown;
  };

  // Shows the rows that wait, and returns them.
  showAll(): Of[] {
    const { arrivals, rows } = this.#source.read();
    const waited = rows.filter(({ _id }) => arrivals.has(_id) && !this.#admitted.has(_id));
    this.#admitted = arrivals;
    this.#make(false);
    for (const listener of this.#listeners) listener();
    return waited;
  }

  #make(isStill: boolean): void {
    const loaded = this.#source.read();
    const { isWaiting } = this.#hold;
    const back = [...this.#shown.gone].filter((id) => loaded.arrivals.has(id)); // they have their places
    if (!isWaiting) this.#admitted = loaded.arrivals;
    else if (back.length > 0) this.#admitted = new Set([...this.#admitted, ...back]);
    const admitted = this.#admitted;
    const isHidden = ({ _id }: Of) => loaded.arrivals.has(_id) && !admitted.has(_id);
    const hidden = loaded.arrivals.size === 0 || admitted === loaded.arrivals ? 0 : loaded.rows.filter(isHidden).length;
    const visible = hidden === 0 ? loaded.rows : loaded.rows.filter((row) => !isHidden(row));
    const { rows, gone } = isStill ? inPlace(this.#shown, visible) : { rows: visible, gone: NONE };
    this.#shown = { rows, gone, waiting: hidden, arrived: admitted };
    this.#made = { loaded, isStill: this.#hold.isStill, isWaiting };
  }
}

// Returns the rows in the order in which they are shown. Those that have left keep their places, and rows of another
// page come at the end.
function inPlace<Of extends Row>(shown: Shown<Of>, visible: readonly Of[]): Pick<Shown<Of>, "rows" | "gone"> {
  const isSame = visible.length >= shown.rows.length && shown.rows.every(({ _id }, at) => visible[at]!._id === _id);
  if (isSame) return { rows: visible, gone: NONE };
  const now = new Map(visible.map((row) => [row._id, row]));
  const gone = new Set<string>();
  const rows = shown.rows.map((row) => {
    const current = now.get(row._id);
    if (current === undefined) gone.add(row._id);
    now.delete(row._id);
    return current ?? row;
  });
  return { rows: [...rows, ...now.values()], gone };
}

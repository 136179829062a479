import { useState, type KeyboardEvent, type PointerEvent } from "react";
import { number } from "../ui/number.ts";

const DAYS = 30;
const HEIGHT = 48;
const SLOT = 10; // the width of a bar and its gap, in units of the viewBox
const BAR = 7;

const dayName = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const longDayName = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeZone: "UTC" });

type Day = { day: string; signUps: number };

// Shows the sign-ups of the last 30 days. The mouse and the arrow keys show the number of a day; screen readers get a
// table.
export function SignUpsChart({ days, note }: { days: Day[] | undefined; note: string | undefined }) {
  const [chosen, setChosen] = useState<number | null>(null);
  if (days === undefined) {
    return (
      <div className="chart">
        <p className="chart-caption">Sign-ups in {DAYS} days</p>
        <svg className="chart-bars" viewBox={VIEW_BOX} preserveAspectRatio="none" aria-hidden="true" />
        <Axis />
      </div>
    );
  }

  const most = Math.max(1, ...days.map(({ signUps }) => signUps));
  const total = days.reduce((sum, { signUps }) => sum + signUps, 0);
  const day = chosen === null ? undefined : days[chosen];

  const onPointerMove = (event: PointerEvent<HTMLElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    setChosen(clamp(Math.floor(((event.clientX - left) / width) * days.length)));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setChosen((now) => clamp((now ?? days.length - 1) + step));
  };

  return (
    <div className="chart">
      <p className="chart-caption" aria-live="polite">
        {day === undefined ? `Sign-ups in ${days.length} days` : dayName.format(new Date(day.day))}
        <strong>{number.format(day === undefined ? total : day.signUps)}</strong>
        {day === undefined && note !== undefined && <span className="muted">{note}</span>}
      </p>
      <div
        className="chart-area"
        role="img"
        tabIndex={0}
        aria-label={`Sign-ups of the last ${days.length} days: ${number.format(total)} in all, at most ${number.format(most)} a day`}
        onPointerMove={onPointerMove}
        onPointerLeave={() => setChosen(null)}
        onFocus={(event) => event.target.matches(":focus-visible") && setChosen(days.length - 1)}
        onBlur={() => setChosen(null)}
        onKeyDown={onKeyDown}
      >
        <svg className="chart-bars" viewBox={VIEW_BOX} preserveAspectRatio="none" aria-hidden="true">
          {days.map(({ day: key, signUps }, index) => {
            const height = signUps === 0 ? 0 : Math.max(3, (signUps / most) * HEIGHT);
            const x = index * SLOT + (SLOT - BAR) / 2;
            return (
              <g key={key} className={index === chosen ? "bar is-chosen" : "bar"}>
                <rect className="bar-ground" x={index * SLOT} y={0} width={SLOT} height={HEIGHT} />
                <rect className="bar-value" x={x} y={HEIGHT - height} width={BAR} height={height} />
              </g>
            );
          })}
        </svg>
      </div>
      <Axis days={days} />
      <table className="visually-hidden">
        <caption>Sign-ups a day</caption>
        <thead>
          <tr>
            <th scope="col">Day</th>
            <th scope="col">Sign-ups</th>
          </tr>
        </thead>
        <tbody>
          {days.map(({ day: key, signUps }) => (
            <tr key={key}>
              <th scope="row">{longDayName.format(new Date(key))}</th>
              <td>{number.format(signUps)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const VIEW_BOX = `0 0 ${DAYS * SLOT} ${HEIGHT}`;
const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -DAYS, End: DAYS };

function clamp(index: number): number {
  return Math.min(Math.max(index, 0), DAYS - 1);
}

function Axis({ days }: { days?: Day[] }) {
  return (
    <p className="chart-axis" aria-hidden="true">
      <span>{days === undefined ? "30 days ago" : dayName.format(new Date(days[0]!.day))}</span>
      <span>Today</span>
    </p>
  );
}

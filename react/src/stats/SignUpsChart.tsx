import { useState, type KeyboardEvent, type PointerEvent } from "react";
import { useFormats, useMessages } from "../messages/messages.ts";

const DAYS = 30;
const HEIGHT = 48;
const SLOT = 10; // the width of a bar and its gap, in units of the viewBox
const BAR = 7;

type Day = { day: string; signUps: number };

// Shows the sign-ups of the last 30 days. The mouse and the arrow keys show the number of a day; screen readers get a
// table.
export function SignUpsChart({ days, note }: { days: Day[] | undefined; note: string | undefined }) {
  const { stats: text } = useMessages();
  const { number, day: dayName, longDay } = useFormats();
  const [chosen, setChosen] = useState<number | null>(null);
  if (days === undefined) {
    return (
      <div className="chart">
        <p className="chart-caption">{text.signUpsIn(DAYS)}</p>
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
        {day === undefined ? text.signUpsIn(days.length) : dayName(day.day)}
        <strong>{number(day === undefined ? total : day.signUps)}</strong>
        {day === undefined && note !== undefined && <span className="muted">{note}</span>}
      </p>
      <div
        className="chart-area"
        dir="ltr" // time runs to the right, as in charts in Arabic and Hebrew, and as the arrow keys go
        role="img"
        tabIndex={0}
        aria-label={text.chart(days.length, number(total), number(most))}
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
      <div className="visually-hidden">
        <table>
          <caption>{text.signUpsADay}</caption>
          <thead>
            <tr>
              <th scope="col">{text.day}</th>
              <th scope="col">{text.signUps}</th>
            </tr>
          </thead>
          <tbody>
            {days.map(({ day: key, signUps }) => (
              <tr key={key}>
                <th scope="row">{longDay(key)}</th>
                <td>{number(signUps)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

const VIEW_BOX = `0 0 ${DAYS * SLOT} ${HEIGHT}`;
const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -DAYS, End: DAYS };

function clamp(index: number): number {
  return Math.min(Math.max(index, 0), DAYS - 1);
}

function Axis({ days }: { days?: Day[] }) {
  const { stats: text } = useMessages();
  const { day: dayName } = useFormats();
  return (
    <p className="chart-axis" dir="ltr" aria-hidden="true">
      <span>{days === undefined ? text.daysAgo(DAYS) : dayName(days[0]!.day)}</span>
      <span>{text.today}</span>
    </p>
  );
}

import { Component, type ReactNode } from "react";

type Props = {
  children: ReactNode;
  fallback: (error: Error, retry: () => void) => ReactNode;
  resetKey?: unknown; // another one: the children get another chance
};
type State = { error: Error | null; resetKey: unknown };

// What is thrown by `fallback` goes on to the boundary around this one.
export class Boundary extends Component<Props, State> {
  state: State = { error: null, resetKey: this.props.resetKey };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  static getDerivedStateFromProps({ resetKey }: Props, state: State): State | null {
    return resetKey === state.resetKey ? null : { error: null, resetKey };
  }

  render() {
    const { error } = this.state;
    return error === null
      ? this.props.children
      : this.props.fallback(error, () => this.setState({ error: null }));
  }
}

import { useEffect } from "react";
import { useOptions } from "../admin/options.ts";

// Sets the title of the document, which belongs to the app if the page has no frame.
export function useTitle(title: string): void {
  const { frame } = useOptions();
  useEffect(() => {
    if (frame) document.title = title;
  }, [title, frame]);
}

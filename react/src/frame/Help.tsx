import { Fragment, useId } from "react";
import { useOptions } from "../admin/options.ts";
import { Modal } from "../manage/Modal.tsx";
import { useMessages } from "../messages/messages.ts";
import { useKey } from "../ui/useKey.ts";
import { keysOf } from "./keys.ts";
import type { Page } from "./PageSkeleton.tsx";

type Props = { page: Page; isManaged: boolean; isOpen: boolean; onOpen: () => void; onClose: () => void };

// Lists the keys of the page on "?".
export function Help({ page, isManaged, isOpen, onOpen, onClose }: Props) {
  const { keys: letters } = useOptions();
  const { help } = useMessages();
  const id = useId();
  useKey("?", onOpen);
  if (!isOpen) return null;
  return (
    <Modal labelId={id} onClose={onClose}>
      <h2 id={id} className="modal-title">
        {help.title}
      </h2>
      <table className="keys">
        <thead className="visually-hidden">
          <tr>
            <th scope="col">{help.key}</th>
            <th scope="col">{help.effect}</th>
          </tr>
        </thead>
        <tbody>
          {keysOf(page, isManaged, letters).map(([name, keys]) => (
            <tr key={name}>
              <th scope="row">
                {keys.map((key, at) => (
                  <Fragment key={key}>
                    {at > 0 && <span className="visually-hidden"> {help.or} </span>}
                    <kbd>{help.caps[key] ?? key}</kbd>
                  </Fragment>
                ))}
              </th>
              <td>{help.keys[name]}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <div className="modal-buttons buttons">
        <button className="button" type="button" data-first onClick={onClose}>
          {help.close}
        </button>
      </div>
    </Modal>
  );
}

"""convex/clerk/users/queries.ts and search.ts: the lists, searches and details of the users page."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.functions import CREATED_AT, Caller, Denied, Functions, Project, delete, upsert

ADMIN = upsert("user_admin", role="admin", firstName="Zoe", createdAt=CREATED_AT - 1e9)


@pytest.fixture
def functions(functions: Functions) -> Functions:
    functions.sync([ADMIN])
    return functions


@pytest.fixture
def admin(functions: Functions) -> Caller:
    return functions.signed_in("user_admin")


def ids(*pages: list[dict[str, Any]]) -> list[str]:
    return [row["clerkId"] for page in pages for row in page]


# ---------------------------------------------------------------- lists


def test_list_leaves_out_metadata_and_derived_columns(functions: Functions, admin: Caller) -> None:
    """A row of a list has all other columns. The details have metadata and updatedAt as well."""
    columns: dict[str, Any] = {
        "externalId": "ext-1",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "username": "ada",
        "email": "Ada@example.com",
        "emailVerified": True,
        "phone": "+15551234567",
        "imageUrl": "https://img.example.com/1",
        "role": "member",
        "lastSignInAt": 5.0,
    }
    functions.sync([upsert(**columns, publicMetadata='{"a":1}')])
    [[ada, zoe]] = admin.pages("users:getUsers")
    assert zoe["clerkId"] == "user_admin"
    assert ada["_id"]
    assert ada["_creationTime"]
    summary = {"clerkId": "user_1", "status": "active", "createdAt": CREATED_AT, **columns}
    assert {name: value for name, value in ada.items() if name[0] != "_"} == summary
    details = admin.query("users:getUser", {"clerkId": "user_1"})
    assert details == {**ada, "publicMetadata": '{"a":1}', "updatedAt": 10.0, "observedAt": 100.0}
    me = admin.query("users:currentUser")["user"]
    assert me == {**zoe, "updatedAt": 10.0}


def test_details_of_an_unknown_user_are_null(admin: Caller) -> None:
    assert admin.query("users:getUser", {"clerkId": "user_unknown"}) is None


# Names in their order: without case, diacritics and leading blanks.
FOLDED = {
    "ada": "ada",
    "Ada": "ada",
    "Émile": "emile",
    "emil": "emil",
    " Zoe": "zoe",
    "zoé": "zoe",
    "Łuk": "luk",
    "\U0001f600": "\U0001f600",
    "\ufffd": "\ufffd",
    "  ": "",
}


def crowd(count: int) -> list[dict[str, Any]]:
    """Users with and without a value for each sorted column, some of them equal."""
    chance = random.Random(7)
    users = []
    for number in range(count):
        first_name = chance.choice([*FOLDED])
        user = {
            "clerkId": f"user_{number:04}",
            "createdAt": CREATED_AT + chance.randrange(20),
            "status": chance.choice(["active", "active", "banned", "locked", "deprovisioned"]),
            "firstName": chance.choice([None, first_name]),
            "email": chance.choice([None, f"Mail{chance.randrange(30)}@Example.com"]),
            "lastSignInAt": chance.choice([None, float(chance.randrange(20))]),
        }
        users.append({name: value for name, value in user.items() if value is not None})
    return users


SORTED_BY: dict[str, Any] = {
    "createdAt": lambda user: user["createdAt"],
    "lastSignInAt": lambda user: user.get("lastSignInAt", -1),
    "email": lambda user: user.get("email", "").lower(),
    "name": lambda user: (
        FOLDED.get(user.get("firstName", ""), "") or (user.get("email") or user["clerkId"]).lower()
    ),
}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("by", SORTED_BY)
def test_sorted_pages(functions: Functions, admin: Caller, by: str, order: str) -> None:
    """By each column in both directions, for all users and for one status: each user once. Users without a
    value come first in ascending and last in descending order."""
    users = crowd(60)
    functions.sync([upsert(clerk_id=user.pop("clerkId"), **user) for user in [dict(user) for user in users]])
    # Rows with equal values are in the order of their creation, or in the reverse order.
    admin_row = {"clerkId": ADMIN.clerk_id, **ADMIN.columns, "firstName": " Zoe"}
    everyone = sorted([admin_row, *users], key=SORTED_BY[by])
    if order == "desc":
        everyone.reverse()
    sort = {"by": by, "order": order}
    pages = admin.pages("users:getUsers", 7, sort=sort)
    assert [len(page) for page in pages] == [7] * 8 + [5]
    assert ids(*pages) == ids(everyone)
    for status in ("active", "banned", "locked", "deprovisioned"):
        found = admin.pages("users:getUsers", 7, sort=sort, status=status)
        assert ids(*found) == [user["clerkId"] for user in everyone if user["status"] == status]
    if sort == {"by": "createdAt", "order": "desc"}:
        assert admin.pages("users:getUsers", 7) == pages


@pytest.mark.parametrize(("asked", "given"), [(1e9, 100), (100, 100), (3, 3), (2.9, 2), (0, 1), (-5, 1)])
def test_page_has_a_size_that_is_never_absurd(
    functions: Functions, admin: Caller, asked: float, given: int
) -> None:
    functions.sync([upsert(f"user_{number}") for number in range(150)])
    options = {"numItems": asked, "cursor": None}
    assert len(admin.query("users:getUsers", {"paginationOpts": options})["page"]) == given


def last_cursor(caller: Caller, path: str, **arguments: Any) -> str:
    cursor = None
    while True:
        page = caller.query(path, {**arguments, "paginationOpts": {"numItems": 100, "cursor": cursor}})
        cursor = page["continueCursor"]
        if page["isDone"]:
            return str(cursor)


def test_page_with_an_end_cursor_has_at_most_100_rows(functions: Functions, admin: Caller) -> None:
    """In every order, for all users, for one status, and in the audit log. Each row is returned once."""
    users = crowd(250)
    functions.sync([upsert(clerk_id=user.pop("clerkId"), **user) for user in users])
    requests: list[dict[str, Any]] = [
        {"sort": {"by": by, "order": order}, **more}
        for by in SORTED_BY
        for order in ("asc", "desc")
        for more in ({}, {"status": "active"})
    ]
    for path, arguments in [*(("users:getUsers", it) for it in requests), ("users:auditLog", {})]:
        everyone = [row for page in admin.pages(path, 50, **arguments) for row in page]
        assert len(everyone) > 100
        assert admin.until(path, last_cursor(admin, path, **arguments), **arguments) == everyone
    search = {"search": "ada", "paginationOpts": {"numItems": 1, "cursor": None, "endCursor": "x"}}
    assert len(admin.query("users:getUsers", search)["page"]) <= 50


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        '["end", "a cursor of Convex"]',  # of the list of all users before it was merged
        '[[1, 2, "id"], "a cursor of Convex"]',
        '[[1, 2, "id", 3], null]',
        '[[1, "2", "id"], null]',
        "[[1, 2, 3], null]",
        "[[], null]",
    ],
)
def test_cursor_of_another_list_starts_again(admin: Caller, cursor: str) -> None:
    """usePaginatedQuery begins with the first page again when it gets this error."""
    for options in ({"cursor": cursor}, {"cursor": None, "endCursor": cursor}):
        with pytest.raises(Denied) as denied:
            admin.query("users:getUsers", {"paginationOpts": {"numItems": 1, **options}})
        assert denied.value.args[0]["paginationError"] == "InvalidCursor"


@pytest.mark.parametrize("by", SORTED_BY)
def test_pages_stay_together_while_rows_change(functions: Functions, admin: Caller, by: str) -> None:
    """Rows come, go, move and change their status, also at the ends of pages: together the pages of all
    users have each row once, in order.

    An answer recommends to fix the end of its page. usePaginatedQuery then asks for the page until there."""
    functions.sync([upsert(clerk_id=user.pop("clerkId"), **user) for user in crowd(60)])
    sort = {"by": by, "order": "desc"}

    def page(**options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = admin.query("users:getUsers", {"sort": sort, "paginationOpts": options})
        return answer

    ends: list[str | None] = [None]
    edges: list[str] = []  # the first and last rows of pages
    while True:
        answer = page(numItems=7, cursor=ends[-1])
        ends.append(answer["continueCursor"])
        if answer["isDone"]:
            break
        edges += [answer["page"][0]["clerkId"], answer["page"][-1]["clerkId"]]
        assert (answer["pageStatus"], answer["splitCursor"]) == ("SplitRecommended", ends[-1])
        rest = page(numItems=7, cursor=ends[-1], endCursor=ends[-1])
        assert (rest["page"], rest["isDone"], rest["continueCursor"]) == ([], False, ends[-1])
    after_the_end = page(numItems=7, cursor=ends[-1])
    assert (after_the_end["page"], after_the_end["isDone"]) == ([], True)

    dice = random.Random(11)
    for number in range(30):
        clerk_id = dice.choice([*edges, f"user_{dice.randrange(80):04}"])
        row = functions.rows().get(clerk_id, {})
        columns = {
            name: value for name, value in row.items() if name in {"firstName", "email", "lastSignInAt"}
        }
        if number % 3 == 0:
            functions.sync([delete(clerk_id, observed_at=1000.0)])
        else:
            status = dice.choice(["active", "banned", "locked", "deprovisioned"])
            moved = {"createdAt": CREATED_AT + dice.randrange(20)}
            functions.sync(
                [upsert(clerk_id, updated_at=100.0 + number, status=status, **{**columns, **moved})]
            )
        pages = [admin.until("users:getUsers", str(end), start, sort=sort) for start, end in pairwise(ends)]
        assert ids(*pages) == ids(*admin.pages("users:getUsers", 50, sort=sort))


MERGED = """
import { compareValues } from "convex/values";
import { internalQuery } from "./_generated/server";
import { compareKeys, keyOf, readSorted, type Field, type Order, type Span } from "./clerk/users/sorted";

const STATUSES = ["active", "banned", "deprovisioned", "locked"] as const;
let seed = 7;
const dice = (sides: number) => (seed = (seed * 48271) % 2147483647) % sides;

// A table in which several rows were created in the same moment, which the local Convex does not let a test
// write. It refuses a range that Convex would refuse.
function table(rows: any[], column: Field) {
  const compare = (one: any, other: any) => compareKeys(keyOf(one, column), keyOf(other, column), "asc");
  return {
    query: () => ({
      withIndex(_: string, by: (range: any) => unknown) {
        const fields: string[] = [];
        let found = rows;
        let step = 0; // of: eq, eq, eq, a lower bound, an upper bound
        const on = (least: number, test: (difference: number) => boolean) => (field: string, value: any) => {
          const isOther = step > 2 && fields.at(-1) !== field;
          if (step > least || isOther) throw new Error(`${field} after ${fields}`);
          step = least === 2 ? step + 1 : least + 1;
          if (fields.at(-1) !== field) fields.push(field);
          found = found.filter((row) => test(compareValues(row[field], value)));
          return range;
        };
        const range = {
          eq: on(2, (it) => it === 0),
          gt: on(3, (it) => it > 0),
          gte: on(3, (it) => it >= 0),
          lt: on(4, (it) => it < 0),
        };
        by(range);
        return {
          order(direction: Order) {
            const sorted = [...found].sort(compare);
            if (direction === "desc") sorted.reverse();
            return { take: async (most: number) => sorted.slice(0, most), collect: async () => sorted };
          },
        };
      },
    }),
  };
}

export const check = internalQuery({
  args: {},
  handler: async () => {
    const wrong: string[] = [];
    for (let round = 0; round < 3000; round++) {
      const field = (["createdAt", "lastSignInAt", "sortName"] as const)[dice(3)] as Field;
      const direction = (["asc", "desc"] as const)[dice(2)]!;
      const numbers = field === "createdAt" ? [1, 2, 3] : [undefined, 1, 2];
      const values = field === "sortName" ? ["", "a", "ab", "b"] : numbers;
      const rows: any[] = Array.from({ length: dice(14) }, (_, index) => ({
        _id: `id${index + 10}`,
        _creationTime: 1 + dice(3),
        status: STATUSES[dice(4) * dice(2)],
        [field]: values[dice(values.length)],
      }));
      const status = dice(3) === 0 ? STATUSES[dice(2)] : undefined;
      const list = rows.filter((row) => status === undefined || row.status === status);
      list.sort((one, other) => compareKeys(keyOf(one, field), keyOf(other, field), direction));
      // Positions of rows that there are, and of rows that there were.
      const position = (): Span["after"] =>
        dice(3) === 0 ? null : [values[dice(values.length)], 1 + dice(3), `id${10 + dice(14)}`];
      const bounded = field === "sortName" && dice(2) === 0 ? { from: "a", before: "b" } : {};
      const isWhole = dice(2) === 0 || "from" in bounded;
      const span = isWhole ? { after: null, until: null } : { after: position(), until: position() };
      if (span.after !== null && span.until !== null && compareKeys(span.after, span.until, direction) > 0) {
        [span.after, span.until] = [span.until, span.after];
      }
      const most = 1 + dice(9);
      const wanted = list
        .filter(
          (row) =>
            (span.after === null || compareKeys(keyOf(row, field), span.after, direction) > 0) &&
            (span.until === null || compareKeys(keyOf(row, field), span.until, direction) <= 0) &&
            (!("from" in bounded) || (row[field] >= "a" && row[field] < "b")),
        )
        .slice(0, most);
      const db = table(rows, field);
      const sorted = { field, order: direction, ...bounded };
      const found = await readSorted({ db } as any, sorted, status, span, most);
      const ids = (users: any[]) => users.map(({ _id }) => _id).join();
      if (ids(found) !== ids(wanted)) {
        wrong.push(JSON.stringify({ rows, field, direction, status, span, most, bounded, found, wanted }));
      }
    }
    return wrong.slice(0, 2);
  },
});
"""


def test_merged_list_is_the_sorted_list(tmp_path: Path) -> None:
    """In any part of it, in both directions, with rows of one value that were created in one moment."""
    project = Project(tmp_path)
    project.write("test.ts", MERGED)
    with project.running() as functions:
        assert functions.query("test:check", {}) == []


# ---------------------------------------------------------------- search


def found(caller: Caller, search: str, **arguments: Any) -> list[str]:
    options = {"numItems": 10, "cursor": None}
    page = caller.query("users:getUsers", {"paginationOpts": options, "search": search, **arguments})
    assert page["isDone"] is True
    assert len(page["page"]) <= 50
    found = ids(page["page"])
    assert len(found) == len(set(found))
    return found


@pytest.fixture
def people(functions: Functions) -> None:
    functions.sync(
        [
            upsert(
                "user_2abcDEF0123",
                firstName="Ada",
                lastName="Lovelace",
                username="countess",
                email="Ada.L@example.com",
                externalId="42",
            ),
            upsert(
                "user_2abcXYZ9999",
                firstName="Adam",
                lastName="Riese",
                email="adam@example.com",
                phone="+15551234567",
                status="banned",
            ),
            upsert(
                "user_3ghi",
                firstName="Grace",
                lastName="Hopper",
                email="comet@example.com",
                externalId="cus_ada",
            ),
            upsert("user_4jkl", firstName="Émile", lastName="Zola-Ada", externalId="423"),
            upsert("user_5mno", email="lovelace@example.com"),
        ]
    )


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("search", "expected"),
    [
        # Whole ids and addresses.
        ("user_2abcDEF0123", ["user_2abcDEF0123"]),
        ("ada.l@EXAMPLE.com", ["user_2abcDEF0123"]),
        ("+15551234567", ["user_2abcXYZ9999"]),
        ("+1 (555) 123-4567", ["user_2abcXYZ9999"]),
        ("1 555 123", ["user_2abcXYZ9999"]),
        ("user_3ghi", ["user_3ghi"]),
        ("  Grace   HOPPER ", ["user_3ghi"]),
        # Beginnings: of ids with their case, of other values in any case.
        ("user_2abc", ["user_2abcDEF0123", "user_2abcXYZ9999"]),
        ("USER_2ABC", []),
        ("cus_", ["user_3ghi"]),
        ("LOVE", ["user_5mno", "user_2abcDEF0123"]),
        ("ém", ["user_4jkl"]),
        # A whole external id comes before a longer one that begins with it.
        ("42", ["user_2abcDEF0123"]),
        ("423", ["user_4jkl"]),
        # Words.
        ("hop", ["user_3ghi"]),
        ("countess", ["user_2abcDEF0123"]),
        ("riese adam", ["user_2abcXYZ9999"]),
        # Texts that must not match all users.
        ("com", ["user_3ghi"]),
        # A domain, or its beginning: the newest user first.
        *(
            (domain, ["user_5mno", "user_3ghi", "user_2abcXYZ9999", "user_2abcDEF0123"])
            for domain in ("example.com", "@example.com", "EXAMPLE.co", "@exa", "example.")
        ),
        ("grace example.com", ["user_3ghi"]),
        ("@example.com grace", ["user_3ghi"]),
        ("example.com.", []),
        ("xample.com", []),
        ("example.com zzqqxx", []),
        ("@com", []),
        (".com", []),
        ("example", []),
        ("exam", []),
        # All words. The last one may be a beginning.
        ("riese ada", ["user_2abcXYZ9999"]),
        ("ada riese", []),
        ("zzqqxx nobody", []),
        ("ada nobody", []),
        ("nobody ada", []),
        ("user_", []),
        ("user_2", []),
        ("+1", []),
        ("1", []),
        ("...", []),
    ],
)
def test_search_finds(admin: Caller, search: str, expected: list[str]) -> None:
    """Ids, addresses and numbers are found whole and by their beginnings, names by their words. No search
    finds all users."""
    assert found(admin, search) == expected


@pytest.mark.usefixtures("people")
def test_whole_id_finds_only_its_user(functions: Functions, admin: Caller) -> None:
    """Also if another user's name contains a part of it."""
    functions.sync([upsert("user_6", username="user_6"), upsert("user_7", username="user_2abcDEF0123_too")])
    assert found(admin, "user_2abcDEF0123") == ["user_2abcDEF0123"]


@pytest.mark.usefixtures("people")
def test_whole_before_beginning_before_word(functions: Functions, admin: Caller) -> None:
    """Exact matches come first, then values that begin with the text, then the rest."""
    functions.sync([upsert("user_6", firstName="Ada"), upsert("user_7", externalId="ada", username="x")])
    assert found(admin, "ada") == [
        "user_7",
        "user_6",
        "user_2abcDEF0123",
        "user_2abcXYZ9999",
        "user_4jkl",
    ]
    functions.sync([upsert("user_8", firstName="Mary", lastName="Ada")])
    assert set(found(admin, "ada")[-2:]) == {"user_4jkl", "user_8"}
    functions.sync([upsert("user_10", firstName="Lo", lastName="Li"), upsert("user_9", username="Li Lo")])
    assert found(admin, " lo\t\n li ") == ["user_10", "user_9"]
    # A user must have all words.
    assert found(admin, "ada l") == ["user_2abcDEF0123"]
    assert found(admin, "cus_ada") == ["user_3ghi"]


NAMES: dict[str, list[str]] = {
    "Nguyễn Văn An": ["nguyen", "NGUYỄN", "van an", "Nguyễn", "Ngu", "nguyen v"],
    "Đặng Thị Đức": ["duc", "dang thi", "Đức"],
    "Lucía García": ["Garcia", "garcía", "lucia garc"],
    "सचिन तेंदुलकर": ["तेंदुलकर", "सचिन", "सचिन तेंदु", "तेंदुलकर सचिन"],
    "வெங்கடேஸ்வரன் குமார்": ["வெங்கடேஸ்வரன்", "குமார்"],  # a word of more than 31 bytes, split by a mark
    "สมชาย วิชัยวงศ์ตระกูล": ["สมชาย", "วิชัยวงศ์ตระกูล", "วิชัยวงศ์"],  # and one that is not split
    "François L'Écuyer-Müller": ["francois", "ecuyer muller", "MULLER", "l'ecuyer"],
    "Łukasz Żółć": ["lukasz", "zolc"],
    "Ørsted Straße Æbler": ["orsted", "strasse", "aebler", "straße"],
    "İsmail Işık": ["ismail", "isik", "ışık"],  # noqa: RUF001 - the letters are the case
    "أحمد محمد": ["احمد", "أحمد"],
    "Νίκος Παπαδόπουλος": ["νικος", "ΝΊΚΟΣ", "παπαδοπουλος"],
    "Ａｄａ ﬁsher": ["ada fisher"],  # noqa: RUF001
    "Фёдор Йорк": ["федор", "йорк"],
    "がく 한글": ["がく", "한글"],
    "St. John-Smith": ["st.john", "st. john", "john-smith", "smith st", "st.jo"],
    "J.R.R. Tolkien": ["J.R.R. tol", "j.r.r.", "tolkien j"],
}


@pytest.mark.parametrize("name", NAMES)
def test_name_is_found_as_people_type_it(functions: Functions, admin: Caller, name: str) -> None:
    """Without case and diacritics, in any script, by each of its words. No other user is found."""
    others = [
        upsert(f"user_{number}", firstName=other) for number, other in enumerate(NAMES) if other != name
    ]
    first, *rest = name.split(" ")
    functions.sync([*others, upsert("user_it", firstName=first, lastName=" ".join(rest))])
    for search in NAMES[name]:
        assert found(admin, search) == ["user_it"], search
        assert found(admin, f"{search} zzqqxx") == [], search


@pytest.mark.parametrize(
    ("one", "other"), [("तदलकर", "तेंदुलकर"), ("かく", "がく"), ("Ana", "Anna"), ("सचन", "सचिन")]
)
def test_name_is_not_folded_into_another(functions: Functions, admin: Caller, one: str, other: str) -> None:
    """Names that differ in vowel signs or sound marks are different names."""
    functions.sync([upsert("user_other", firstName=other)])
    assert found(admin, one) == []


def test_domain_is_found_whole_and_below(functions: Functions, admin: Caller) -> None:
    """With its subdomains, however long. No other domain with the same letters is found, and no search for a
    top-level domain."""
    long = "a-department-of-research.of-a-very-long-company-name.example"
    addresses = {
        "one": "a@mail.acme.co.uk",
        "two": "b@acme.co.uk",
        "three": "c@notacme.co.uk",
        "four": "d@ac.me.co.uk",
        "five": f"e@{long}",
        "six": f"f@x{long}",
        "seven": "g@münchen.example",
        "eight": "h@localhost",
    }
    functions.sync([upsert(clerk_id, email=email) for clerk_id, email in addresses.items()])
    expected: dict[str, set[str]] = {
        "acme.co.uk": {"one", "two"},
        "mail.acme.co.uk": {"one"},
        "ac.me.co.uk": {"four"},
        "@acme.co.uk": {"one", "two"},
        "co.uk": {"one", "two", "three", "four"},
        "@localhost": {"eight"},
        long: {"five"},
        long[:-1]: {"five"},
        "munchen.example": {"seven"},
        "@uk": set(),
    }
    for search, clerk_ids in expected.items():
        assert set(found(admin, search)) == clerk_ids, search


def test_rows_with_all_words_are_found_among_many_with_one(functions: Functions, admin: Caller) -> None:
    """However many rows have only one of the words."""
    functions.sync([upsert(f"user_m{number}", firstName="Maria", lastName="Maria") for number in range(300)])
    functions.sync(
        [upsert(f"user_g{number}", firstName="Garcia", username="garcia") for number in range(300)]
    )
    functions.sync([upsert("user_both", firstName="Maria", lastName="del Carmen Garcia", username="mdcg1")])
    functions.sync([upsert(f"user_n{number}", firstName="Maria", lastName="Maria") for number in range(300)])
    assert found(admin, "garcia maria") == ["user_both"]
    assert found(admin, "mar garcia") == []


OUTDATED = """
import { mutation } from "./_generated/server";
export const outdate = mutation({
  args: {},
  handler: async (ctx) => {
    for (const { _id } of await ctx.db.query("users").collect()) {
      await ctx.db.patch("users", _id, { sortName: "nguyễn", searchText: "Nguyễn", sortEmail: undefined });
    }
    for (const { _id } of await ctx.db.query("clerkAudit").collect()) await ctx.db.delete("clerkAudit", _id);
  },
});
"""


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"observed_at": 999.0, "source": "backfill"}, "unchanged"),
        ({"updated_at": 12.0}, "unchanged"),
        ({}, "unchanged"),
        ({"updated_at": 9.0, "firstName": "Late"}, "stale"),
    ],
)
def test_row_of_an_earlier_version_is_brought_up_to_date(
    tmp_path: Path, change: dict[str, Any], outcome: str
) -> None:
    """The next change of the user, or the next backfill, writes the columns for sorting and search.

    This is no change of the user: verify does not count it, and the audit log has no entry. One write is
    enough."""
    project = Project(tmp_path)
    project.write("test.ts", OUTDATED)
    with project.running() as functions:
        columns: dict[str, Any] = {"firstName": "Nguyễn", "email": "An@Example.com"}
        functions.sync([upsert("user_admin", role="admin", username="root"), upsert(**columns)])
        before = functions.rows()
        functions.mutation("test:outdate", {})
        admin = functions.signed_in("user_admin")
        assert found(admin, "nguyen") == []
        again = upsert(**{**columns, **change})
        assert functions.compare([again]) == [outcome]
        assert functions.rows()["user_1"]["sortName"] == "nguyễn"
        assert functions.sync([again]) == [outcome]
        stamps = {"updatedAt", "observedAt"}
        row = functions.rows()["user_1"]
        assert {**row, **dict.fromkeys(stamps, 0)} == {**before["user_1"], **dict.fromkeys(stamps, 0)}
        assert found(admin, "nguyen") == ["user_1"]
        assert found(admin, "an@example.com") == ["user_1"]
        assert admin.pages("users:auditLog") == [[]]
        assert functions.sync([again]) == [outcome]


@pytest.mark.usefixtures("people")
def test_search_of_one_status(admin: Caller) -> None:
    """The status applies to every kind of match, also if users of other statuses would fill the page."""
    for search in ("ada", "adam@example.com", "+15551234567", "user_2abc", "user_2abcXYZ9999", "riese"):
        assert found(admin, search, status="banned") == ["user_2abcXYZ9999"], search
        assert "user_2abcXYZ9999" not in found(admin, search, status="active")
    assert found(admin, "42", status="banned") == []


@pytest.mark.parametrize(
    "column", [{"firstName": "Same"}, {"email": "same@x.com"}, {"externalId": "same"}, {"phone": "+49555000"}]
)
def test_status_is_not_lost_behind_fifty_others(
    functions: Functions, admin: Caller, column: dict[str, Any]
) -> None:
    functions.sync([upsert(f"user_same{number:03}", **column) for number in range(120)])
    functions.sync([upsert("user_same_banned", status="banned", **column)])
    [text] = column.values()
    for search in (text, text[:4], "user_same"):
        assert found(admin, search, status="banned") == ["user_same_banned"]
        assert len(found(admin, search)) == 50


def test_long_external_ids_with_the_same_beginning(functions: Functions, admin: Caller) -> None:
    """Longer than a word of Convex's index. Each is found whole, in its case, and by a long beginning."""
    same = "https://directory.example.com/tenants/00000001/Users/"
    functions.sync([upsert(f"user_{number}", externalId=f"{same}{number:04}") for number in range(300)])
    assert found(admin, f"{same}0123") == ["user_123"]
    assert set(found(admin, f"{same}012")) == {f"user_{number}" for number in range(120, 130)}
    assert len(found(admin, same)) == 50
    assert found(admin, f"{same.lower()}0123") == []
    assert found(admin, f"{same}0123/") == []


def test_external_id_is_no_phone_number_and_no_domain(functions: Functions, admin: Caller) -> None:
    """Each kind of value is looked for in its own column."""
    functions.sync(
        [
            upsert("user_id", externalId="15551234567"),
            upsert("user_phone", phone="+15551234567"),
            upsert("user_domain", email="x@15551234567.com"),
        ]
    )
    assert found(admin, "15551234567") == ["user_id", "user_phone"]
    assert found(admin, "+1 555 123-4567") == ["user_phone"]
    assert found(admin, "@15551234567.com") == ["user_domain"]


def test_search_is_one_page(functions: Functions, admin: Caller) -> None:
    """It has the 50 best matches. There is no second page, and `sort` has no effect."""
    functions.sync([upsert(f"user_{number}", firstName="Ada") for number in range(60)])
    sort = {"by": "createdAt", "order": "desc"}
    assert found(admin, "ada", sort=sort) == found(admin, "ada")
    options: dict[str, Any] = {"numItems": 499, "cursor": None}
    page = admin.query("users:getUsers", {"paginationOpts": options, "search": "ada"})
    assert (len(page["page"]), page["isDone"]) == (50, True)
    options = {"numItems": 10, "cursor": "anything"}
    page = admin.query("users:getUsers", {"paginationOpts": options, "search": "ada"})
    assert (page["page"], page["isDone"]) == ([], True)


@pytest.mark.parametrize("search", ["ada", "ada@", "@acme.com", "ad"])
def test_all_matches_at_once(functions: Functions, admin: Caller, search: str) -> None:
    """A request for 500 gets 500, whichever column the search finds them by."""
    functions.sync(
        [
            upsert(f"user_{number:03}", firstName="Ada", email=f"ada@{number:03}.acme.com")
            for number in range(520)
        ]
    )
    options = {"numItems": 500, "cursor": None}
    page = admin.query("users:getUsers", {"paginationOpts": options, "search": search})
    assert len({user["clerkId"] for user in page["page"]}) == 500
    page = admin.query("users:getUsers", {"paginationOpts": options, "search": search, "status": "banned"})
    assert page["page"] == []


def test_all_matches_at_once_of_any_status(functions: Functions, admin: Caller) -> None:
    """Where half of many bots are banned, neighbours in the index have different statuses."""
    statuses = ("active", "banned", "locked")
    users = [
        upsert(
            f"user_{number:03}",
            lastName=f"Bot{number:03}",
            email=f"bot{number:03}@x.com",
            status=statuses[number % 3],
        )
        for number in range(520)
    ]
    functions.sync(users[:260])
    functions.sync(users[260:])
    options = {"numItems": 500, "cursor": None}
    page = admin.query("users:getUsers", {"paginationOpts": options, "search": "bot"})
    assert [user["clerkId"] for user in page["page"]] == [f"user_{number:03}" for number in range(500)]
    assert page["isDone"]


def test_search_is_cut_to_256_characters(functions: Functions, admin: Caller) -> None:
    """The rest of a longer text is ignored."""
    functions.sync([upsert("user_long", externalId="x" * 300)])
    assert found(admin, "x" * 256 + "y") == ["user_long"]
    assert found(admin, "x" * 255 + "y") == []


@pytest.mark.parametrize("search", ["", " ", "\t\n \u00a0"])
def test_blank_search_is_none(functions: Functions, admin: Caller, search: str) -> None:
    functions.sync([upsert()])
    options = {"numItems": 1, "cursor": None}
    page = admin.query("users:getUsers", {"paginationOpts": options, "search": search})
    assert (ids(page["page"]), page["isDone"]) == (["user_1"], False)


ODD = {
    "10,000 characters": "x" * 10_000,
    "10,000 words": "ab " * 10_000,
    "10,000 of two halves": "\U0001f600" * 10_000,
    "17 terms": " ".join(f"term{number}" for number in range(17)),
    "terms without spaces": "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t",
    "punctuation": "!?.,;:-_()[]{}<>|/\\\"'`~@#$%^&*+=",
    "emoji": "\U0001f600",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "prototype": "__proto__",
    "constructor": "constructor",
    "nothing visible": "\u200b\u200e",
    "zero": "\0",
    "last before the surrogates": "\ud7ff",
    "last of all": "\U0010ffff",
    "last of all, after something": "a\U0010ffff\U0010ffff",
    "a replacement": "\ufffd",
    "right to left": "\u05d0\u05d1",
    "combining": "e\u0301",
}


@pytest.mark.parametrize("what", ODD)
def test_odd_search_is_no_error(functions: Functions, admin: Caller, what: str) -> None:
    """Any text that can be typed or pasted finds the values that begin with it, and no other user."""
    search = ODD[what]
    functions.sync([upsert("user_ada", firstName="Ada", email="ada@example.com")])
    begins_a_name = what == "last of all, after something"
    assert found(admin, search) == (["user_ada"] if begins_a_name else [])
    if len(search) < 50:
        functions.sync(
            [upsert("user_odd", externalId=f"{search}\U0001f600", firstName=f"{search}\U0001f600")]
        )
        assert "user_odd" in found(admin, search)


SENT = """
import { v } from "convex/values";
import { internalQuery } from "./_generated/server";
import { searchUsers } from "./clerk/users/search";

// Every text that a search hands to Convex.
export const sent = internalQuery({
  args: { search: v.string() },
  handler: async (_, { search }) => {
    const texts: string[] = [];
    const note = (_: string, text: string) => (texts.push(text), range);
    const range = { eq: note, gte: note, lt: note, search: note };
    const found = { order: () => found, take: async () => [] };
    const find = (_: string, by: (q: typeof range) => unknown) => (by(range), found);
    const db = { query: () => ({ withIndex: find, withSearchIndex: find }) };
    await searchUsers({ db } as any, search, "active", () => true);
    return texts.map((text) => ({ isWhole: (text as any).isWellFormed(), text }));
  },
});
"""


def test_search_sends_only_text_that_convex_accepts(tmp_path: Path) -> None:
    """No half of a character where a text was cut, and no more than 16 words. The local Convex would accept
    more."""
    project = Project(tmp_path)
    project.write("test.ts", SENT)
    with project.running() as functions:
        for search in ("\U0001f600" * 10_000, "a" + "\U0001f600" * 10_000, "a b-" * 100, "x" * 10_000):
            sent = functions.query("test:sent", {"search": search})
            assert len(sent) >= 8  # three ranges of one status
            assert all(text["isWhole"] for text in sent)
            assert all(len(text["text"]) < 600 for text in sent)
            if "-" in search:
                assert sent[-2]["text"] == "a b " * 7 + "a b"


# ---------------------------------------------------------------- what it costs

MEASURE = """
import { v } from "convex/values";
import { internalQuery } from "./_generated/server";
import { listUsers } from "./clerk/users/queries";
import { readStats } from "./clerk/users/stats";

export const page = internalQuery({
  args: { request: v.any() },
  handler: async (ctx, { request }) => {
    const { page } = await listUsers(ctx, { paginationOpts: { numItems: 25, cursor: null }, ...request });
    const { documentsRead, databaseQueries } = await ctx.meta.getTransactionMetrics();
    return [page.length, documentsRead.used, databaseQueries.used];
  },
});

export const stats = internalQuery({
  args: {},
  handler: async (ctx) => {
    const { total } = await readStats(ctx);
    const { documentsRead, databaseQueries } = await ctx.meta.getTransactionMetrics();
    return [total, documentsRead.used, databaseQueries.used];
  },
});
"""


def test_cost_does_not_grow_with_the_number_of_users(tmp_path: Path) -> None:
    """A page reads its own rows, and the totals read a constant number of documents.

    The list of all users reads one row more for each change of the status between neighbours, and one for
    each other status. A search reads 50 rows for each of four columns, and 100 rows by words."""
    project = Project(tmp_path)
    project.write("test.ts", MEASURE)
    with project.running() as functions:

        def add(first: int, last: int, statuses: list[str]) -> None:
            for start in range(first, last, 500):
                functions.sync(
                    [
                        upsert(
                            f"user_same{number}",
                            firstName="Ada",
                            status=statuses[number % len(statuses)],
                            lastSignInAt=float(number),
                            externalId="ada",
                        )
                        for number in range(start, min(start + 500, last))
                    ]
                )

        for first, last, statuses in (
            (0, 100, ["active"]),
            (100, 2600, ["active", "banned", "locked"]),
            (2600, 5000, ["active"]),
        ):
            add(first, last, statuses)
            is_mixed = len(statuses) > 1
            others = 2 if last > 100 else 0
            for by in SORTED_BY:
                for order in ("asc", "desc"):
                    request: dict[str, Any] = {"sort": {"by": by, "order": order}}
                    one = {**request, "status": "active"}
                    assert functions.query("test:page", {"request": one}) == [25, 25, 1]
                    [found, read, ranges] = functions.query("test:page", {"request": request})
                    assert found == 25
                    assert read == (49 + others if is_mixed and order == "desc" else 26 + others)
                    assert ranges < 250
            # Every user matches by name, by external id and by words.
            found, read, _ = functions.query("test:page", {"request": {"search": "ada"}})
            assert (found, read) == (50, 50 + 1 + others + 50 + 100)
            assert functions.query("test:page", {"request": {"search": "x ada.ada"}})[1] == 50
            assert functions.query("test:page", {"request": {"search": "user_same"}})[:2] == [50, 50]
            banned = {"search": "user_same", "status": "banned"}
            assert functions.query("test:page", {"request": banned})[1] <= 200
            total, read, ranges = functions.query("test:stats", {})
            assert total == last
            assert read <= 1 + 16 + 3 * 16
            assert ranges == 5

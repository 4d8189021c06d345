"""The seed builds the same rows each time, and nothing but one SELECT gets in afterwards."""

import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from offline.conftest import BAKEHOUSE
from retinue.errors import ProjectError, ToolError
from retinue.offline.genie.warehouse import Warehouse

TABLES = [
    f"samples.bakehouse.{name}"
    for name in (
        "sales_transactions",
        "sales_franchises",
        "sales_customers",
        "sales_suppliers",
        "media_customer_reviews",
        "media_gold_reviews_chunked",
    )
]
CUSTOMERS = "samples.bakehouse.sales_customers"


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    yield Warehouse(BAKEHOUSE / "seed.sql", catalog="samples", max_seconds=0.5, max_rows=100)


def test_the_seed_builds_the_same_rows_each_time(warehouse: Warehouse) -> None:
    again = Warehouse(BAKEHOUSE / "seed.sql", catalog="samples")
    assert again.checksum(TABLES) == warehouse.checksum(TABLES)


def test_a_single_changed_cell_changes_the_checksum(tmp_path: Path, warehouse: Warehouse) -> None:
    seed = tmp_path / "seed.sql"
    change = "UPDATE sales_transactions SET quantity = 99 WHERE transactionID = 1000007;"
    seed.write_text((BAKEHOUSE / "seed.sql").read_text("utf-8") + change, "utf-8")
    assert Warehouse(seed, catalog="samples").checksum(TABLES) != warehouse.checksum(TABLES)


def test_there_are_enough_rows_over_two_years(warehouse: Warehouse) -> None:
    (row,) = warehouse.select(
        "SELECT COUNT(*) >= 200000, MIN(YEAR(dateTime)), MAX(YEAR(dateTime)), "
        "COUNT(DISTINCT MONTH(dateTime)), BOOL_AND(totalPrice = quantity * unitPrice) "
        f"FROM {TABLES[0]}"
    ).values
    assert row == (True, 2023, 2024, 12, True)


def test_every_sale_has_its_franchise_customer_and_supplier(warehouse: Warehouse) -> None:
    (row,) = warehouse.select(
        "SELECT COUNT(*) FROM samples.bakehouse.sales_transactions t "
        "LEFT JOIN samples.bakehouse.sales_franchises f ON f.franchiseID = t.franchiseID "
        "LEFT JOIN samples.bakehouse.sales_customers c ON c.customerID = t.customerID "
        "LEFT JOIN samples.bakehouse.sales_suppliers s ON s.supplierID = f.supplierID "
        "WHERE f.name IS NULL OR c.customerID IS NULL OR s.name IS NULL"
    ).values
    assert row == (0,)


def test_personal_data_is_evidently_made_up(warehouse: Warehouse) -> None:
    (row,) = warehouse.select(
        "SELECT BOOL_AND(email_address LIKE '%@example.com'), "
        f"BOOL_AND(phone_number LIKE '+00-555-%') FROM {CUSTOMERS}"
    ).values
    assert row == (True, True)
    (card,) = warehouse.select(f"SELECT MAX(cardNumber) FROM {TABLES[0]}").values
    assert isinstance(card[0], int)
    assert card[0] < 10_000


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "DROP TABLE samples.bakehouse.sales_customers",
        "DELETE FROM samples.bakehouse.sales_customers",
        "CREATE TEMP TABLE x AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE samples.bakehouse.sales_customers",
        "COPY samples.bakehouse.sales_customers TO 'stolen.csv'",
        "ATTACH 'other.db' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "EXPLAIN SELECT 1",
        "EXPORT DATABASE 'stolen'",
        "PREPARE p AS SELECT 1",
        "BEGIN TRANSACTION",
    ],
)
def test_only_a_single_select_is_run(warehouse: Warehouse, sql: str) -> None:
    before = warehouse.checksum([CUSTOMERS])
    with pytest.raises(ToolError, match="only a single SELECT statement"):
        warehouse.select(sql)
    assert warehouse.checksum([CUSTOMERS]) == before


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (DELETE FROM samples.bakehouse.sales_customers RETURNING *) SELECT * FROM x",
        "SELECT * FROM query('DROP TABLE samples.bakehouse.sales_customers')",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT getenv('HOME')",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
    ],
)
def test_a_select_reaches_neither_files_nor_the_network_nor_writes(
    warehouse: Warehouse, tmp_path: Path, sql: str
) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    before = warehouse.checksum([CUSTOMERS])
    with pytest.raises(ToolError, match="the query doesn't run"):
        warehouse.select(sql.format(file=tmp_path / "secret.csv", folder=tmp_path))
    assert warehouse.checksum([CUSTOMERS]) == before


def test_a_long_query_is_interrupted(warehouse: Warehouse) -> None:
    start = time.monotonic()
    with pytest.raises(ToolError, match=r"stopped after 0\.5 s"):
        warehouse.select("SELECT SUM(a.i * b.i) FROM range(10000000) a(i), range(100000) b(i)")
    assert time.monotonic() - start < 5
    assert warehouse.select("SELECT 1").values == ((1,),)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT range(20000000)", "doesn't run|stopped after"),
        ("SELECT range(5000) AS i", "column i holds a cell of more than 10000 characters"),
        ("SELECT repeat('x', 10001) AS \"it's\"", "column it's holds a cell"),
        ("SELECT {{'a': repeat('x', 20000)}} AS s", "column s holds a cell"),
        ("SELECT repeat('x', 20000)::BLOB AS b", "column b holds a cell"),
        ("SELECT {many} FROM range(100)", "larger than 8,000,000 characters"),
        ("SELECT {wide}", "more than 200 columns"),
    ],
)
def test_a_huge_result_is_declined_before_it_fills_the_memory(
    warehouse: Warehouse, sql: str, reason: str
) -> None:
    many = ", ".join(f"repeat('x', 9000 + {n}) AS c{n}" for n in range(10))
    start = time.monotonic()
    with pytest.raises(ToolError, match=reason):
        warehouse.select(sql.format(many=many, wide=", ".join(["1"] * 201)))
    assert time.monotonic() - start < 3
    assert warehouse.select("SELECT 1").values == ((1,),)


def test_cells_keep_their_types_and_order(warehouse: Warehouse) -> None:
    rows = warehouse.select(
        "SELECT i AS n, CAST(i AS DECIMAL(9, 2)) AS n, 'a', [i], NULL, DATE '2024-02-29' "
        "FROM range(3) r(i) ORDER BY i DESC; "
    )
    assert [name for name, _ in rows.columns[:2]] == ["n", "n"]
    assert rows.values[0] == (2, Decimal("2.00"), "a", "[2]", None, date(2024, 2, 29))
    assert [row[0] for row in rows.values] == [2, 1, 0]


def test_rows_are_capped_and_say_so(warehouse: Warehouse) -> None:
    rows = warehouse.select(f"SELECT customerID FROM {CUSTOMERS}")
    assert (len(rows.values), rows.truncated) == (100, True)
    assert not warehouse.select("SELECT * FROM range(100)").truncated


def test_a_broken_seed_is_named(tmp_path: Path) -> None:
    seed = tmp_path / "seed.sql"
    seed.write_text("CREATE SCHEMA samples.x; CREATE TABLE samples.x.t AS SELECT nonsense;")
    with pytest.raises(ProjectError, match=r"seed\.sql doesn't run: .*nonsense"):
        Warehouse(seed, catalog="samples")

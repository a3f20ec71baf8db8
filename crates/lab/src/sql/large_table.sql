DROP TABLE IF EXISTS lab_orders;
CREATE TABLE lab_orders AS
  SELECT g AS id, g % 10000 AS customer, 'order ' || g || repeat(' .', 20) AS note FROM generate_series(1, {rows}) g;
ANALYZE lab_orders

CREATE TABLE orders (id BIGINT, customer_id BIGINT, amount DECIMAL(18, 2), ordered_at TIMESTAMP);
CREATE TABLE customers (id BIGINT, city VARCHAR);

-- # Questions, each with a query written by hand for what it should answer.
-- # They use other means than the generated SQL on purpose.

-- Which three franchises sold most in May 2024?
SELECT name, sum(quantity * unitPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE strftime(dateTime, '%Y-%m') = '2024-05'
GROUP BY name
ORDER BY v DESC LIMIT 3;

-- What was the total revenue in May 2024?
SELECT sum(totalPrice)
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-05';

-- total sales
SELECT sum(quantity * unitPrice)
FROM sales_transactions;

-- How much did we sell in Tokyo in Q3 2024?
SELECT sum(totalPrice)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Tokyo' AND extract(year FROM dateTime) = 2024 AND extract(month FROM dateTime) IN (7, 8, 9);

-- revenue by country in 2023, highest first
SELECT country, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE extract(year FROM dateTime) = 2023
GROUP BY country
ORDER BY v DESC;

-- What was the revenue per month in 2024?
SELECT any_value(date_trunc('month', dateTime)::DATE) m, sum(totalPrice)
FROM sales_transactions
WHERE extract(year FROM dateTime) = 2024
GROUP BY extract(month FROM dateTime)
ORDER BY m;

-- sales between March and May 2024
SELECT sum(totalPrice)
FROM sales_transactions
WHERE strftime(dateTime, '%Y%m') BETWEEN '202403' AND '202405';

-- Turnover on 3 May 2024
SELECT sum(totalPrice)
FROM sales_transactions
WHERE dateTime::DATE = '2024-05-03';

-- revenue on May 3rd, 2024
SELECT sum(totalPrice)
FROM sales_transactions
WHERE dateTime::DATE = '2024-05-03';

-- What was our best month in 2023?
SELECT min(date_trunc('month', dateTime))::DATE, sum(totalPrice) v
FROM sales_transactions
WHERE extract(year FROM dateTime) = 2023
GROUP BY extract(month FROM dateTime)
ORDER BY v DESC LIMIT 1;

-- worst 3 days in 2024
SELECT dateTime::DATE d, sum(totalPrice) v
FROM sales_transactions
WHERE extract(year FROM dateTime) = 2024
GROUP BY d
ORDER BY v LIMIT 3;

-- revenue from customers in Japan
SELECT sum(totalPrice)
FROM sales_transactions JOIN sales_customers USING (customerID)
WHERE country = 'Japan';

-- revenue in Japan
SELECT sum(totalPrice)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'Japan';

-- revenue outside Japan in 2024
SELECT sum(totalPrice)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE NOT country = 'Japan' AND extract(year FROM dateTime) = 2024;

-- revenue last month of data
SELECT sum(totalPrice)
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-12';

-- sales in the last 7 days by day
SELECT dateTime::DATE d, sum(totalPrice)
FROM sales_transactions
WHERE dateTime >= '2024-12-25'
GROUP BY d
ORDER BY d;

-- revenue on weekends vs weekdays
SELECT CASE WHEN isodow(dateTime) > 5 THEN 'weekend' ELSE 'working day' END w, sum(totalPrice) v
FROM sales_transactions
GROUP BY w
ORDER BY v DESC;

-- How many units did we sell in 2023?
SELECT sum(quantity)
FROM sales_transactions
WHERE extract(year FROM dateTime) = 2023;

-- How many cookies did we sell in May 2024?
SELECT sum(quantity)
FROM sales_transactions
WHERE product LIKE '%Cookie' AND strftime(dateTime, '%Y-%m') = '2024-05';

-- Which product sold the most units in December 2024?
SELECT product, sum(quantity) v
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-12'
GROUP BY product
ORDER BY v DESC LIMIT 1;

-- what are the 5 least popular products in Germany?
SELECT product, sum(quantity) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'Germany'
GROUP BY product
ORDER BY v, product LIMIT 5;

-- units excluding cookies by month since October 2024
SELECT date_trunc('month', dateTime)::DATE m, sum(quantity)
FROM sales_transactions
WHERE product NOT LIKE '%Cookie' AND dateTime >= '2024-10-01'
GROUP BY m
ORDER BY m;

-- top 2 products in each country by units
SELECT product, country, v
FROM (SELECT product, country, sum(quantity) v, rank() OVER (PARTITION BY country
ORDER BY sum(quantity) DESC) r
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
GROUP BY product, country)
WHERE r <= 2
ORDER BY country, v DESC;

-- compare cookies and brownies by units in 2024
SELECT product, sum(quantity) v
FROM sales_transactions
WHERE regexp_matches(product, 'Cookie|Brownie') AND extract(year FROM dateTime) = 2024
GROUP BY product
ORDER BY v DESC;

-- How many transactions were paid in cash in May 2024?
SELECT count(*)
FROM sales_transactions
WHERE paymentMethod = 'cash' AND strftime(dateTime, '%Y-%m') = '2024-05';

-- number of orders by payment method
SELECT paymentMethod, count(*) v
FROM sales_transactions
GROUP BY paymentMethod
ORDER BY v DESC;

-- busiest hour of the day
SELECT date_part('hour', dateTime) h, count(*) v
FROM sales_transactions
GROUP BY h
ORDER BY v DESC LIMIT 1;

-- what's the busiest day of the week in December 2024?
SELECT left(strftime(dateTime, '%A'), 3) d, count(*) v
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-12'
GROUP BY d
ORDER BY v DESC LIMIT 1;

-- monthly transactions in Berlin in 2024
SELECT date_trunc('month', dateTime)::DATE m, count(*)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Berlin' AND extract(year FROM dateTime) = 2024
GROUP BY m
ORDER BY m;

-- Average basket by franchise size in Q2 2024
SELECT size, avg(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE dateTime >= '2024-04-01' AND dateTime < '2024-07-01'
GROUP BY size
ORDER BY v DESC;

-- what is the average price of a lemon tart in 2024
SELECT sum(totalPrice) / sum(quantity)
FROM sales_transactions
WHERE product = 'Lemon Tart' AND extract(year FROM dateTime) = 2024;

-- items per transaction by gender
SELECT gender, avg(quantity) v
FROM sales_transactions JOIN sales_customers USING (customerID)
GROUP BY gender
ORDER BY v DESC, gender;

-- average daily revenue in 2024
SELECT avg(v)
FROM (SELECT sum(totalPrice) v
FROM sales_transactions
WHERE extract(year FROM dateTime) = 2024
GROUP BY dateTime::DATE);

-- revenue per customer in France in 2024
SELECT sum(totalPrice) / count(DISTINCT customerID)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'France' AND extract(year FROM dateTime) = 2024;

-- How many customers are there in Japan?
SELECT count(*)
FROM sales_customers
WHERE country = 'Japan';

-- how many customers by country
SELECT country, count(*) v
FROM sales_customers
GROUP BY country
ORDER BY v DESC, country;

-- female customers by continent
SELECT continent, count(*) v
FROM sales_customers
WHERE gender = 'female'
GROUP BY continent
ORDER BY v DESC;

-- How many customers bought cookies in May 2024?
SELECT count(DISTINCT customerID)
FROM sales_transactions
WHERE product LIKE '%Cookie' AND strftime(dateTime, '%Y-%m') = '2024-05';

-- Who are our best 5 customers?
SELECT customerID, first_name || ' ' || last_name, sum(totalPrice) v
FROM sales_transactions JOIN sales_customers USING (customerID)
GROUP BY ALL
ORDER BY v DESC LIMIT 5;

-- How many franchises do we have?
SELECT count(*)
FROM sales_franchises;

-- how many XL shops are in Germany?
SELECT count(*)
FROM sales_franchises
WHERE size = 'XL' AND country = 'Germany';

-- How many cities does each country have?
SELECT country, count(DISTINCT city) v
FROM sales_franchises
GROUP BY country
ORDER BY v DESC, country;

-- how many approved suppliers do we have
SELECT count(*)
FROM sales_suppliers
WHERE approved = 'Y';

-- how many suppliers are in Europe?
SELECT count(*)
FROM sales_suppliers
WHERE continent = 'Europe';

-- revenue by ingredient
SELECT ingredient, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
JOIN sales_suppliers ON sales_suppliers.supplierID = sales_franchises.supplierID
GROUP BY ingredient
ORDER BY v DESC;

-- which franchise got the most reviews in 2024?
SELECT name, count(*) v
FROM media_customer_reviews JOIN sales_franchises USING (franchiseID)
WHERE extract(year FROM review_date) = 2024
GROUP BY name
ORDER BY v DESC, name LIMIT 1;

-- What share of revenue comes from each payment method?
SELECT paymentMethod, sum(totalPrice) v, 100 * sum(totalPrice) / (SELECT sum(totalPrice)
FROM sales_transactions)
FROM sales_transactions
GROUP BY paymentMethod
ORDER BY v DESC;

-- What percentage of revenue comes from Japan in 2024?
SELECT 100 * sum(CASE WHEN country = 'Japan' THEN totalPrice ELSE 0 END) / sum(totalPrice)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE extract(year FROM dateTime) = 2024;

-- Compare revenue in June and May 2024
SELECT strftime(dateTime, '%B %Y') p, sum(totalPrice)
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-05' OR strftime(dateTime, '%Y-%m') = '2024-06'
GROUP BY p
ORDER BY min(dateTime);

-- How did revenue change from April to May 2024?
WITH m AS (SELECT strftime(dateTime, '%B %Y') p, min(dateTime) d, sum(totalPrice) v
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-04' OR strftime(dateTime, '%Y-%m') = '2024-05'
GROUP BY p) SELECT b.p, b.v, b.v - a.v, 100 * (b.v - a.v) / a.v FROM m b LEFT JOIN m a ON a.d < b.d
ORDER BY b.d;

-- top 2 products in May and June 2024
SELECT product, p, v
FROM (SELECT product, strftime(dateTime, '%B %Y') p, sum(totalPrice) v, row_number() OVER (PARTITION BY p
ORDER BY sum(totalPrice) DESC) r
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-05' OR strftime(dateTime, '%Y-%m') = '2024-06'
GROUP BY product, p)
WHERE r <= 2
ORDER BY p DESC, v DESC;

-- revenue and how many cities in May 2024
SELECT
  (SELECT SUM(totalPrice) FROM samples.bakehouse.sales_transactions
   WHERE strftime(dateTime, '%Y-%m') = '2024-05') AS revenue,
  (SELECT COUNT(*) FROM (
     SELECT DISTINCT city FROM samples.bakehouse.sales_franchises
     WHERE franchiseID IN (
       SELECT franchiseID FROM samples.bakehouse.sales_transactions
       WHERE strftime(dateTime, '%Y-%m') = '2024-05'))) AS city_count;

-- daily revenue change for Agave Oven in May 2024
WITH d AS (SELECT dateTime::DATE AS d, sum(totalPrice) AS v
FROM sales_transactions WHERE franchiseID = 3000038 AND strftime(dateTime, '%Y-%m') = '2024-05' GROUP BY 1)
SELECT a.d, a.v, a.v - b.v, 100 * (a.v - b.v) / b.v FROM d a LEFT JOIN d b ON b.d = a.d - 1 ORDER BY a.d;

-- weekly change of units in Busan in Q1 2024
WITH w AS (SELECT date_trunc('week', dateTime)::DATE AS w, sum(quantity) AS v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Busan' AND dateTime >= '2024-01-01' AND dateTime < '2024-04-01' GROUP BY 1)
SELECT a.w, a.v, a.v - b.v, 100 * (a.v - b.v) / b.v FROM w a LEFT JOIN w b ON b.w = a.w - 7 ORDER BY a.w;

-- yearly change of orders
WITH y AS (SELECT extract(year FROM dateTime) AS y, count(*) AS v FROM sales_transactions GROUP BY 1)
SELECT a.y, a.v, a.v - b.v, 100 * (a.v - b.v) / b.v FROM y a LEFT JOIN y b ON b.y = a.y - 1 ORDER BY a.y;

-- revenue by product with the most units
SELECT product, sum(totalPrice), sum(quantity) v
FROM sales_transactions GROUP BY product ORDER BY v DESC LIMIT 1;

-- top 5 products by revenue with units
SELECT product, sum(totalPrice) v, sum(quantity)
FROM sales_transactions GROUP BY product ORDER BY v DESC LIMIT 5;

-- orders by city with the highest average basket
SELECT city, count(*), avg(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID) GROUP BY city ORDER BY v DESC LIMIT 1;

-- which country has the fewest franchises?
SELECT country, count(*) AS n FROM sales_franchises GROUP BY country
HAVING n = (SELECT min(n) FROM (SELECT count(*) AS n FROM sales_franchises GROUP BY country)) ORDER BY country;

-- top 3 countries by number of franchises
SELECT country, n FROM (SELECT country, count(*) AS n FROM sales_franchises GROUP BY country) AS a
WHERE 3 > (SELECT count(*) FROM (SELECT count(*) AS m FROM sales_franchises GROUP BY country) AS b WHERE m > n)
ORDER BY n DESC, country;

-- revenue from May to June 2024 compared with 2023
SELECT CASE WHEN year(dateTime) = 2023 THEN 'May 2023 to June 2023' ELSE 'May 2024 to June 2024' END AS p, sum(totalPrice)
FROM sales_transactions WHERE month(dateTime) IN (5, 6) GROUP BY p ORDER BY p;

-- how did units change from Q2 2023 to 2024?
SELECT 'Q2 ' || y, v, v - lag(v) OVER (ORDER BY y), 100 * (v - lag(v) OVER (ORDER BY y)) / lag(v) OVER (ORDER BY y)
FROM (SELECT year(dateTime) AS y, sum(quantity) AS v FROM sales_transactions WHERE month(dateTime) IN (4, 5, 6) GROUP BY y)
ORDER BY y;

-- revenue and customers by country in 2024
SELECT country, sum(totalPrice) v, count(DISTINCT customerID)
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE year(dateTime) = 2024 GROUP BY country ORDER BY v DESC;

-- revenue in Europe but not in France
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country NOT IN ('Japan','South Korea','Singapore','India','United States','Canada','Mexico','Brazil','Australia','South Africa') AND country <> 'France';

-- franchises not in Europe
SELECT count(*) FROM sales_franchises WHERE NOT (country NOT IN ('Japan','South Korea','Singapore','India','United States','Canada','Mexico','Brazil','Australia','South Africa'));

-- how many XL franchises in Europe?
SELECT count(*) FROM sales_franchises WHERE size = 'XL' AND country NOT IN ('Japan','South Korea','Singapore','India','United States','Canada','Mexico','Brazil','Australia','South Africa');

-- suppliers by continent
SELECT continent, count(*) v FROM sales_suppliers GROUP BY continent ORDER BY v DESC, continent;

-- revenue excluding cookies in Tokyo
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Tokyo' AND product NOT LIKE '%Cookie';

-- revenue without cookies in Japan and France
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country IN ('Japan', 'France') AND product NOT LIKE '%Cookie';

-- revenue excluding weekends in Japan
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'Japan' AND isodow(dateTime) < 6;

-- revenue excluding Tokyo, Osaka and Kyoto
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city <> 'Tokyo' AND city <> 'Osaka' AND city <> 'Kyoto';

-- units of cookies but not ginger cookies
SELECT sum(quantity) FROM sales_transactions WHERE product = 'Oatmeal Cookie';

-- units of cookies in Tokyo paid by visa on weekends
SELECT sum(quantity) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Tokyo' AND paymentMethod = 'visa' AND product LIKE '%Cookie' AND isodow(dateTime) > 5;

-- revenue on weekend days
SELECT sum(totalPrice) FROM sales_transactions WHERE isodow(dateTime) > 5;

-- sales in the US in 2024
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'United States' AND year(dateTime) = 2024;

-- How much did we sell in the U.S. in May 2024?
SELECT sum(totalPrice) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'United States' AND strftime(dateTime, '%Y%m') = '202405';

-- show us the units in Tokyo's May '24
SELECT sum(quantity) FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Tokyo' AND strftime(dateTime, '%Y%m') = '202405';

-- top five products in Q2 24
SELECT product, sum(totalPrice) v FROM sales_transactions
WHERE year(dateTime) = 2024 AND quarter(dateTime) = 2 GROUP BY product ORDER BY v DESC LIMIT 5;

-- units in the second quarter of 2023
SELECT sum(quantity) FROM sales_transactions WHERE year(dateTime) = 2023 AND quarter(dateTime) = 2;

-- revenue in last quarter of 2023
SELECT sum(totalPrice) FROM sales_transactions WHERE year(dateTime) = 2023 AND quarter(dateTime) = 4;

-- orders in the last month of 2023
SELECT count(*) FROM sales_transactions WHERE strftime(dateTime, '%Y%m') = '202312';

-- revenue from 2024-05-03 to 2024-05-09
SELECT sum(totalPrice) FROM sales_transactions WHERE dateTime::DATE BETWEEN '2024-05-03' AND '2024-05-09';

-- revenue between 3 May and 9 May 2024
SELECT sum(totalPrice) FROM sales_transactions WHERE dateTime::DATE BETWEEN '2024-05-03' AND '2024-05-09';

-- revenue before April 2023
SELECT sum(totalPrice) FROM sales_transactions WHERE year(dateTime) = 2023 AND month(dateTime) < 4;

-- revenue since March 2024
SELECT sum(totalPrice) FROM sales_transactions WHERE year(dateTime) = 2024 AND month(dateTime) >= 3;

-- revenue after 2023
SELECT sum(totalPrice) FROM sales_transactions WHERE year(dateTime) > 2023;

-- difference in revenue between May and June 2024
WITH m AS (SELECT month(dateTime) AS m, sum(totalPrice) AS v FROM sales_transactions
WHERE year(dateTime) = 2024 AND month(dateTime) IN (5, 6) GROUP BY 1)
SELECT CASE a.m WHEN 5 THEN 'May 2024' ELSE 'June 2024' END, a.v, a.v - b.v, 100 * (a.v - b.v) / b.v
FROM m a LEFT JOIN m b ON b.m = a.m - 1 ORDER BY a.m;

-- orders per customer in 2024
SELECT avg(n) FROM (SELECT count(*) AS n FROM sales_transactions WHERE year(dateTime) = 2024 GROUP BY customerID);

-- units per customer
SELECT avg(n) FROM (SELECT sum(quantity) AS n FROM sales_transactions GROUP BY customerID);

-- average orders per day
SELECT avg(n) FROM (SELECT count(*) AS n FROM sales_transactions GROUP BY dateTime::DATE);

-- average revenue per franchise in 2024
SELECT avg(n) FROM (SELECT sum(totalPrice) AS n FROM sales_transactions WHERE year(dateTime) = 2024 GROUP BY franchiseID);

-- revenue Tokyo vs Osaka
SELECT city, sum(totalPrice) v FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city IN ('Tokyo', 'Osaka') GROUP BY city ORDER BY v DESC;

-- best month for each franchise in Tokyo
WITH m AS (SELECT date_trunc('month', dateTime)::DATE AS m, name, sum(totalPrice) AS v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE city = 'Tokyo' GROUP BY 1, 2)
SELECT m, name, v FROM m WHERE v = (SELECT max(v) FROM m AS o WHERE o.name = m.name) ORDER BY name;

-- do we have franchises in Japan?
SELECT count(*) FROM sales_franchises WHERE country = 'Japan';

-- revenue for cookies & brownies
SELECT sum(totalPrice) FROM sales_transactions WHERE product LIKE '%Cookie' OR product LIKE '%Brownie';

-- percentage change of revenue 2023 to 2024
WITH y AS (SELECT year(dateTime) AS y, sum(totalPrice) AS v FROM sales_transactions GROUP BY 1)
SELECT a.y, a.v, a.v - b.v, 100 * (a.v - b.v) / b.v FROM y a LEFT JOIN y b ON b.y = a.y - 1 ORDER BY a.y;

-- which tables are there?
SELECT table_name FROM duckdb_tables() WHERE database_name = 'samples' ORDER BY table_name;

-- which columns are there?
SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'samples' ORDER BY table_name, column_index;

-- Dutch franchises by revenue
SELECT name, sum(totalPrice) v FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE country = 'Netherlands' GROUP BY name ORDER BY v DESC;

-- revenue in Tokyo, Japan
SELECT sum(totalPrice) FROM sales_transactions
WHERE franchiseID IN (SELECT franchiseID FROM sales_franchises WHERE city = 'Tokyo');

-- How many franchises are there?
SELECT count(*)
FROM sales_franchises;

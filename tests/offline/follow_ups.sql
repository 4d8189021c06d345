-- # One conversation: each question leans on the ones before it.

-- Which three franchises sold most in May 2024?
SELECT name, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE strftime(dateTime, '%Y-%m') = '2024-05'
GROUP BY name
ORDER BY v DESC LIMIT 3;

-- and in June?
SELECT name, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE strftime(dateTime, '%Y-%m') = '2024-06'
GROUP BY name
ORDER BY v DESC LIMIT 3;

-- by city instead
SELECT city, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE strftime(dateTime, '%Y-%m') = '2024-06'
GROUP BY city
ORDER BY v DESC LIMIT 3;

-- only the top 5
SELECT city, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE strftime(dateTime, '%Y-%m') = '2024-06'
GROUP BY city
ORDER BY v DESC LIMIT 5;

-- what about cookies?
SELECT city, sum(totalPrice) v
FROM sales_transactions JOIN sales_franchises USING (franchiseID)
WHERE strftime(dateTime, '%Y-%m') = '2024-06' AND product LIKE '%Cookie'
GROUP BY city
ORDER BY v DESC LIMIT 5;

-- in total
SELECT sum(totalPrice)
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-06' AND product LIKE '%Cookie';

-- now units
SELECT sum(quantity)
FROM sales_transactions
WHERE strftime(dateTime, '%Y-%m') = '2024-06' AND product LIKE '%Cookie';

-- and 2023?
SELECT sum(quantity)
FROM sales_transactions
WHERE extract(year FROM dateTime) = 2023 AND product LIKE '%Cookie';

-- How many franchises do we have?
SELECT count(*)
FROM sales_franchises;

-- and in Japan?
SELECT count(*)
FROM sales_franchises
WHERE country = 'Japan';

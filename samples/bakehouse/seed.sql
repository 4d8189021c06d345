-- A made-up bakery chain in the tables of Databricks' samples.bakehouse. Every value comes from
-- hash(i), so the same DuckDB version builds the same rows each time; nothing here is real.

CREATE SCHEMA samples.bakehouse;
USE samples.bakehouse;

-- A number in [0, n) for row i; `salt` keeps the columns independent of each other.
CREATE TEMP MACRO pick(i, salt, n) AS CAST(hash(i * 64 + salt) % n AS BIGINT);

CREATE TABLE sales_suppliers AS
SELECT
  4000000 + CAST(n AS BIGINT) AS supplierID, name, ingredient, continent, city, district, size,
  CAST(longitude AS DOUBLE) AS longitude, CAST(latitude AS DOUBLE) AS latitude, approved
FROM (VALUES
  (1, 'Windrow Mills', 'flour', 'North America', 'Wichita', 'Delano', 'L', -97.3, 37.7, 'Y'),
  (2, 'Moulin Clair', 'flour', 'Europe', 'Dijon', 'Centre', 'M', 5.0, 47.3, 'Y'),
  (3, 'Red Gum Grain', 'oats', 'Oceania', 'Ballarat', 'Lake', 'M', 143.9, -37.6, 'Y'),
  (4, 'Fjord Dairy', 'butter', 'Europe', 'Aalborg', 'Havn', 'L', 9.9, 57.0, 'Y'),
  (5, 'Clover Hill Creamery', 'butter', 'Oceania', 'Hamilton', 'Riverside', 'L', 175.3, -37.8, 'Y'),
  (6, 'Cacao Verde', 'cocoa', 'South America', 'Manta', 'Puerto', 'XL', -80.7, -1.0, 'Y'),
  (7, 'Golden Pod', 'cocoa', 'Africa', 'Kumasi', 'Asokwa', 'XXL', -1.6, 6.7, 'Y'),
  (8, 'Isla Vainilla', 'vanilla', 'Africa', 'Sambava', 'Nord', 'S', 50.2, -14.3, 'N'),
  (9, 'Almendra del Sol', 'almonds', 'Europe', 'Reus', 'Llevant', 'M', 1.1, 41.2, 'Y'),
  (10, 'Valley Orchard Nuts', 'almonds', 'North America', 'Modesto', 'Airport', 'L', -121.0, 37.6, 'Y'),
  (11, 'Kibi Sugar Works', 'sugar', 'Asia', 'Naha', 'Oroku', 'M', 127.7, 26.2, 'Y'),
  (12, 'Canavial Doce', 'sugar', 'South America', 'Ribeirao Preto', 'Norte', 'XL', -47.8, -21.2, 'N'),
  (13, 'Spice Quay', 'cinnamon', 'Asia', 'Galle', 'Fort', 'S', 80.2, 6.0, 'Y'),
  (14, 'Lemon Terrace', 'lemons', 'Europe', 'Amalfi', 'Alto', 'S', 14.6, 40.6, 'Y'),
  (15, 'Hatch Farm Eggs', 'eggs', 'North America', 'Guelph', 'Arboretum', 'M', -80.2, 43.5, 'Y'),
  (16, 'Pecan Bend', 'pecans', 'North America', 'San Saba', 'Bend', 'M', -98.7, 31.2, 'Y')
) AS v(n, name, ingredient, continent, city, district, size, longitude, latitude, approved);

CREATE TABLE sales_franchises AS
SELECT
  3000000 + CAST(n AS BIGINT) AS franchiseID, name, city, district, zipcode, country, size,
  CAST(longitude AS DOUBLE) AS longitude, CAST(latitude AS DOUBLE) AS latitude,
  4000001 + pick(n, 1, 16) AS supplierID
FROM (VALUES
  (1, 'Sakura Oven', 'Tokyo', 'Shibuya', '150-0001', 'Japan', 'XXL', 139.7, 35.7),
  (2, 'Lantern Loaf', 'Tokyo', 'Asakusa', '111-0032', 'Japan', 'L', 139.8, 35.7),
  (3, 'Harbour Crumb', 'Osaka', 'Minato', '552-0001', 'Japan', 'L', 135.4, 34.7),
  (4, 'Bamboo Bake', 'Kyoto', 'Gion', '605-0001', 'Japan', 'M', 135.8, 35.0),
  (5, 'Pont Neuf Patisserie', 'Paris', 'Odeon', '75006', 'France', 'XL', 2.3, 48.9),
  (6, 'Canal Croquant', 'Paris', 'Canal', '75010', 'France', 'M', 2.4, 48.9),
  (7, 'Two Rivers Rolls', 'Lyon', 'Presqu''ile', '69002', 'France', 'L', 4.8, 45.8),
  (8, 'Mistral Morsel', 'Marseille', 'Panier', '13002', 'France', 'S', 5.4, 43.3),
  (9, 'Spree Sweets', 'Berlin', 'Mitte', '10115', 'Germany', 'XL', 13.4, 52.5),
  (10, 'Kiez Krume', 'Berlin', 'Kreuzberg', '10997', 'Germany', 'M', 13.4, 52.5),
  (11, 'Anchor and Rye', 'Hamburg', 'Altona', '22765', 'Germany', 'L', 9.9, 53.6),
  (12, 'Isar Icing', 'Munich', 'Au', '81541', 'Germany', 'M', 11.6, 48.1),
  (13, 'Thames Toastery', 'London', 'Southwark', 'SE1 9AA', 'United Kingdom', 'XXL', -0.1, 51.5),
  (14, 'Copper Kettle Buns', 'London', 'Camden', 'NW1 8AA', 'United Kingdom', 'L', -0.1, 51.5),
  (15, 'Mill Lane Bakers', 'Manchester', 'Ancoats', 'M4 6AA', 'United Kingdom', 'M', -2.2, 53.5),
  (16, 'Castle Shortbread', 'Edinburgh', 'Leith', 'EH6 6AA', 'United Kingdom', 'S', -3.2, 56.0),
  (17, 'Forno Aurora', 'Rome', 'Trastevere', '00153', 'Italy', 'L', 12.5, 41.9),
  (18, 'Dolce Navigli', 'Milan', 'Navigli', '20143', 'Italy', 'L', 9.2, 45.5),
  (19, 'Limoncella', 'Naples', 'Chiaia', '80121', 'Italy', 'S', 14.2, 40.8),
  (20, 'Sol y Miga', 'Madrid', 'Malasana', '28004', 'Spain', 'L', -3.7, 40.4),
  (21, 'Rambla Rosquilla', 'Barcelona', 'Gracia', '08012', 'Spain', 'XL', 2.2, 41.4),
  (22, 'Azahar Bakery', 'Seville', 'Triana', '41010', 'Spain', 'S', -6.0, 37.4),
  (23, 'Hudson Hearth', 'New York', 'Chelsea', '10011', 'United States', 'XXL', -74.0, 40.7),
  (24, 'Borough Biscuit', 'New York', 'Brooklyn', '11201', 'United States', 'XL', -74.0, 40.7),
  (25, 'Lakefront Loaves', 'Chicago', 'Loop', '60601', 'United States', 'XL', -87.6, 41.9),
  (26, 'Fogline Bakery', 'San Francisco', 'Mission', '94110', 'United States', 'L', -122.4, 37.8),
  (27, 'Bluebonnet Bakes', 'Austin', 'South Congress', '78704', 'United States', 'M', -97.7, 30.3),
  (28, 'Rainy Day Rolls', 'Seattle', 'Ballard', '98107', 'United States', 'M', -122.3, 47.6),
  (29, 'Maple Street Oven', 'Toronto', 'Leslieville', 'M4M 1A1', 'Canada', 'L', -79.4, 43.7),
  (30, 'Mont Sucre', 'Montreal', 'Plateau', 'H2W 1A1', 'Canada', 'M', -73.6, 45.5),
  (31, 'Tidewater Tarts', 'Vancouver', 'Kitsilano', 'V6K 1A1', 'Canada', 'M', -123.1, 49.3),
  (32, 'Opal Oven', 'Sydney', 'Surry Hills', '2010', 'Australia', 'XL', 151.2, -33.9),
  (33, 'Laneway Loaf', 'Melbourne', 'Fitzroy', '3065', 'Australia', 'L', 145.0, -37.8),
  (34, 'Jacaranda Buns', 'Brisbane', 'New Farm', '4005', 'Australia', 'S', 153.0, -27.5),
  (35, 'Ipanema Doces', 'Rio de Janeiro', 'Ipanema', '22410', 'Brazil', 'L', -43.2, -22.9),
  (36, 'Paulista Padaria', 'Sao Paulo', 'Jardins', '01410', 'Brazil', 'XL', -46.6, -23.6),
  (37, 'Azteca Horno', 'Mexico City', 'Roma', '06700', 'Mexico', 'L', -99.1, 19.4),
  (38, 'Agave Oven', 'Guadalajara', 'Centro', '44100', 'Mexico', 'S', -103.3, 20.7),
  (39, 'Tulip Tray', 'Amsterdam', 'Jordaan', '1015', 'Netherlands', 'L', 4.9, 52.4),
  (40, 'Canal House Crumbs', 'Utrecht', 'Binnenstad', '3511', 'Netherlands', 'S', 5.1, 52.1),
  (41, 'Aurora Bageri', 'Stockholm', 'Sodermalm', '11646', 'Sweden', 'L', 18.1, 59.3),
  (42, 'Lilla Kakan', 'Gothenburg', 'Haga', '41301', 'Sweden', 'S', 12.0, 57.7),
  (43, 'Han River Bread', 'Seoul', 'Mapo', '04001', 'South Korea', 'XL', 127.0, 37.6),
  (44, 'Gull Bay Bakes', 'Busan', 'Haeundae', '48094', 'South Korea', 'M', 129.1, 35.2),
  (45, 'Marina Crust', 'Singapore', 'Tiong Bahru', '160001', 'Singapore', 'L', 103.8, 1.3),
  (46, 'Monsoon Bakery', 'Mumbai', 'Bandra', '400050', 'India', 'XL', 72.8, 19.1),
  (47, 'Garden City Bakes', 'Bengaluru', 'Indiranagar', '560038', 'India', 'M', 77.6, 13.0),
  (48, 'Table Rock Breads', 'Cape Town', 'Gardens', '8001', 'South Africa', 'M', 18.4, -33.9)
) AS v(n, name, city, district, zipcode, country, size, longitude, latitude);

CREATE TEMP TABLE people AS
SELECT
  ['Ada', 'Bruno', 'Clara', 'Dario', 'Elin', 'Farid', 'Greta', 'Hugo', 'Ines', 'Jonas', 'Kaya', 'Liam',
   'Mira', 'Noah', 'Olga', 'Pablo', 'Qiu', 'Rosa', 'Sami', 'Tara'] AS first_names,
  ['Abara', 'Brandt', 'Castell', 'Dubois', 'Eriksen', 'Fontana', 'Garza', 'Hayashi', 'Ivanov', 'Jansen',
   'Kaur', 'Lindqvist', 'Moreau', 'Nkosi', 'Okada', 'Pereira', 'Quist', 'Rossi', 'Silva', 'Tanaka'] AS last_names;

-- Customers live where the franchises are; their numbers run by country, which the sales use.
CREATE TABLE sales_customers AS
WITH placed AS (
  SELECT i, f.city, f.district, f.zipcode, f.country
  FROM range(3000) AS r(i) JOIN sales_franchises f ON f.franchiseID = 3000001 + pick(i, 2, 48)
),
numbered AS (SELECT *, row_number() OVER (ORDER BY country, i) AS n FROM placed)
SELECT
  2000000 + n AS customerID,
  first_names[pick(i, 3, 20) + 1] AS first_name,
  last_names[pick(i, 4, 20) + 1] AS last_name,
  lower(first_name) || '.' || lower(last_name) || '.' || n || '@example.com' AS email_address,
  '+00-555-' || lpad(CAST(n AS VARCHAR), 6, '0') AS phone_number,
  CAST(1 + pick(i, 5, 200) AS VARCHAR) || ' ' || district || ' Street' AS address,
  city,
  district AS state,
  country,
  CASE
    WHEN country IN ('Japan', 'South Korea', 'Singapore', 'India') THEN 'Asia'
    WHEN country IN ('United States', 'Canada', 'Mexico') THEN 'North America'
    WHEN country = 'Brazil' THEN 'South America'
    WHEN country = 'Australia' THEN 'Oceania'
    WHEN country = 'South Africa' THEN 'Africa'
    ELSE 'Europe'
  END AS continent,
  CAST(zipcode AS VARCHAR) AS postal_zip_code,
  CASE WHEN pick(i, 6, 100) < 52 THEN 'female' ELSE 'male' END AS gender
FROM numbered, people
ORDER BY customerID;

CREATE TEMP TABLE product_list AS
SELECT row_number() OVER () - 1 AS n, * FROM (VALUES
  ('Butter Croissant', 2.80, 2.95, 14), ('Sourdough Loaf', 6.40, 6.75, 10),
  ('Oatmeal Cookie', 1.90, 1.95, 13), ('Ginger Cookie', 1.95, 2.00, 9),
  ('Almond Biscotti', 2.40, 2.50, 8), ('Cinnamon Roll', 3.30, 3.45, 11),
  ('Lemon Tart', 4.20, 4.40, 7), ('Pecan Pie', 5.60, 5.85, 5),
  ('Chocolate Brownie', 3.10, 3.25, 9), ('Rye Bread', 5.20, 5.45, 6),
  ('Blueberry Muffin', 2.90, 3.05, 8), ('Vanilla Eclair', 3.75, 3.95, 4)
) AS v(product, price_2023, price_2024, weight);

-- One row per unit of weight, so that a pick in [0, total) is a weighted choice.
CREATE TEMP TABLE product_slots AS
SELECT row_number() OVER (ORDER BY n, u) - 1 AS slot, n
FROM product_list, LATERAL (SELECT unnest(range(weight)) AS u);

CREATE TEMP TABLE franchise_slots AS
SELECT row_number() OVER (ORDER BY franchiseID, u) - 1 AS slot, franchiseID, country
FROM (
  SELECT *, pick(franchiseID, 7, 5) + CASE size
    WHEN 'S' THEN 6 WHEN 'M' THEN 11 WHEN 'L' THEN 17 WHEN 'XL' THEN 25 ELSE 36 END AS weight
  FROM sales_franchises
), LATERAL (SELECT unnest(range(weight)) AS u);

CREATE TEMP TABLE customer_ranges AS
SELECT country, min(customerID) AS first_customer, count(*) AS customers
FROM sales_customers GROUP BY country;

-- Rows per day: busy weekends, a peak in December, a dip in August, slow growth, some noise.
CREATE TEMP TABLE days AS
SELECT
  d, day,
  CAST(round(
    290 * (1 + d * 0.0002)
    * [1.28, 0.86, 0.88, 0.93, 0.98, 1.12, 1.34][dayofweek(day) + 1]
    * [0.96, 0.98, 1.00, 1.03, 1.05, 1.02, 0.94, 0.86, 0.99, 1.04, 1.08, 1.31][month(day)]
    * (0.92 + pick(d, 8, 17) / 100.0)
  ) AS BIGINT) AS sales
FROM (SELECT d, DATE '2023-01-01' + CAST(d AS INTEGER) AS day FROM range(731) AS r(d));

CREATE TEMP TABLE hours AS
SELECT [7, 7, 8, 8, 8, 8, 9, 9, 9, 10, 10, 11, 11, 12, 12, 12, 13, 13, 14, 15, 15, 16, 16, 16, 17, 17, 18, 19]
  AS of_day;

CREATE TABLE sales_transactions AS
WITH rows_of_days AS (
  SELECT row_number() OVER (ORDER BY d, u) AS i, d, day
  FROM days, LATERAL (SELECT unnest(range(sales)) AS u)
),
slotted AS (
  SELECT *, pick(i, 9, franchise_total) AS franchise_slot, pick(i, 11, product_total) AS product_slot
  FROM rows_of_days,
    (SELECT count(*) AS franchise_total FROM franchise_slots),
    (SELECT count(*) AS product_total FROM product_slots)
),
chosen AS (
  SELECT
    i, day, f.franchiseID, f.country,
    -- Three sales in ten are the franchise's own favourite, so that places differ.
    CASE WHEN pick(i, 10, 10) < 3 THEN f.franchiseID * 7 % 12 ELSE p.n END AS product_n
  FROM slotted
  JOIN franchise_slots f ON f.slot = franchise_slot
  JOIN product_slots p ON p.slot = product_slot
)
SELECT
  1000000 + i AS transactionID,
  -- One sale in ten goes to a traveller.
  CASE WHEN pick(i, 18, 10) = 0 THEN 2000001 + pick(i, 12, 3000)
    ELSE first_customer + pick(i, 12, customers) END AS customerID,
  franchiseID,
  CAST(day AS TIMESTAMP)
    + to_seconds(of_day[pick(i, 13, len(of_day)) + 1] * 3600 + pick(i, 14, 3600)) AS dateTime,
  product,
  CAST(CASE
    WHEN pick(i, 15, 100) < 46 THEN 1 WHEN pick(i, 15, 100) < 70 THEN 2
    WHEN pick(i, 15, 100) < 82 THEN 3 WHEN pick(i, 15, 100) < 90 THEN 4
    WHEN pick(i, 15, 100) < 97 THEN 6 ELSE 12
  END AS BIGINT) AS quantity,
  CAST(CASE WHEN year(day) = 2023 THEN price_2023 ELSE price_2024 END AS DECIMAL(10, 2)) AS unitPrice,
  CAST(quantity * unitPrice AS DECIMAL(12, 2)) AS totalPrice,
  CASE
    WHEN pick(i, 16, 100) < 41 THEN 'visa' WHEN pick(i, 16, 100) < 73 THEN 'mastercard'
    WHEN pick(i, 16, 100) < 90 THEN 'amex' ELSE 'cash'
  END AS paymentMethod,
  CASE WHEN paymentMethod = 'cash' THEN NULL
    ELSE CAST(0 AS BIGINT) + pick(i, 17, 10000) END AS cardNumber
FROM chosen
JOIN product_list ON n = product_n
JOIN customer_ranges USING (country), hours
ORDER BY transactionID;

CREATE TABLE media_customer_reviews AS
SELECT
  ['Warm service and a crisp crust.', 'The queue was long, the rolls were worth it.',
   'Too sweet for me, but fresh.', 'Best breakfast of the trip.',
   'They were sold out by noon.', 'Fair prices and friendly people.'][pick(i, 20, 6) + 1] AS review,
  3000001 + pick(i, 21, 48) AS franchiseID,
  TIMESTAMP '2023-01-01 09:00:00' + to_days(CAST(pick(i, 22, 731) AS INTEGER)) AS review_date,
  5000001 + CAST(i AS BIGINT) AS new_id
FROM range(1200) AS r(i);

CREATE TABLE media_gold_reviews_chunked AS
SELECT
  franchiseID, review_date, review AS chunked_text,
  CAST(new_id AS VARCHAR) || '-0' AS chunk_id,
  'https://reviews.example.com/' || new_id AS review_uri
FROM media_customer_reviews;

DROP FUNCTION checkout_place(json);
DROP FUNCTION checkout_open(json);

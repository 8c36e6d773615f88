DROP TABLE open_guest_orders;
DROP TABLE fulfillments;
DROP TABLE payments;
DROP TABLE order_events;
DROP TABLE orders;

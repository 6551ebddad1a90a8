"""What pages and their parts are made from: requests, who is asking, what a view was given."""

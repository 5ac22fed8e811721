"""What each part asks of AWS, recorded for the tests of the roles."""
